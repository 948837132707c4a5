"""Evaluation: what a model answers for every example of a data set's part, and how good the answers are."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded
from ..metrics.value import Value
from .results import Evaluation
from .span_metrics import check_span_metrics, span_metrics
from .spans import SpanAnswersOfPart, answer_spans
from .text_metrics import check_text_metrics, text_metrics
from .texts import TextAnswers, answer_texts

__all__ = ["Evaluation", "SpanAnswersOfPart", "TextAnswers", "check_metrics", "evaluate"]


class _Kind(NamedTuple):
    """Of one kind of task: what makes the answers, what the metrics, and what refuses a metric that it lacks."""

    answer: Callable[..., Any]
    metrics: Callable[..., dict[str, Value]]
    check: Callable[[str, Sequence[str]], None]


_TEXTS = _Kind(answer_texts, text_metrics, check_text_metrics)
_KINDS = {
    "classification": _TEXTS,
    "regression": _TEXTS,
    "multi-label": _TEXTS,
    "question-answering": _Kind(answer_spans, span_metrics, check_span_metrics),
}


def check_metrics(kind: str, names: Sequence[str]) -> None:
    """Raises `InputError` for a metric that a kind of task does not have."""
    _KINDS[kind].check(kind, names)


def evaluate(
    loaded: Loaded, kind: str, part: Part, settings: Any, *, metrics: Sequence[str] = (), limit: int | None = None
) -> Evaluation:
    """The model's answers for a part, the first `limit` of its examples, and their metrics.

    `settings` are the kind's own (`tasks.texts.TextSettings`, `tasks.spans.SpanSettings`); `metrics` must be among
    those computed. Raises `InputError` for a model without the head, a label that it does not know, and a metric that
    the task does not have.
    """
    answers = _KINDS[kind].answer(loaded, kind, part, settings, limit=limit)
    return Evaluation(kind, part.name, len(answers), _KINDS[kind].metrics(kind, answers, metrics), answers)
