"""Evaluation: what a model answers for every example of a data set's part, and how good the answers are."""

from collections.abc import Sequence
from typing import Any

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded
from .results import Evaluation
from .span_metrics import span_metrics
from .spans import SpanAnswersOfPart, answer_spans
from .text_metrics import text_metrics
from .texts import TextAnswers, answer_texts

__all__ = ["Evaluation", "SpanAnswersOfPart", "TextAnswers", "evaluate"]


def evaluate(
    loaded: Loaded, kind: str, part: Part, settings: Any, *, metrics: Sequence[str] = (), limit: int | None = None
) -> Evaluation:
    """The model's answers for a part, the first `limit` of its examples, and their metrics.

    `settings` are the kind's own (`tasks.texts.TextSettings`, `tasks.spans.SpanSettings`); `metrics` must be among
    those computed. Raises `InputError` for a model without the head, a label that it does not know, and a metric that
    the task does not have.
    """
    if kind == "question-answering":
        spans = answer_spans(loaded, part, settings, limit=limit)
        return Evaluation(kind, part.name, len(spans), span_metrics(spans, metrics), spans)
    answers = answer_texts(loaded, kind, part, settings, limit=limit)
    return Evaluation(kind, part.name, len(answers), text_metrics(kind, answers, metrics), answers)
