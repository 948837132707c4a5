"""Evaluation: what a model answers for every example of a data set's part, and how good the answers are."""

from collections.abc import Sequence
from typing import Any

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded
from .results import Evaluation
from .text_metrics import check_text_metrics, text_metrics
from .texts import TextAnswers, answer_texts

__all__ = ["Evaluation", "TextAnswers", "check_metrics", "evaluate"]


def check_metrics(kind: str, names: Sequence[str]) -> None:
    """Raises `InputError` for a metric that a kind of task does not have."""
    check_text_metrics(kind, names)


def evaluate(
    loaded: Loaded, kind: str, part: Part, settings: Any, *, metrics: Sequence[str] = (), limit: int | None = None
) -> Evaluation:
    """The model's answers for a part, the first `limit` of its examples, and their metrics.

    `settings` are the kind's own (`tasks.texts.TextSettings`, ...); `metrics` must be among those computed. Raises
    `InputError` for a model without the head, a label that it does not know, and a metric that the task does not have.
    """
    answers = answer_texts(loaded, kind, part, settings, limit=limit)
    return Evaluation(kind, part.name, len(answers), text_metrics(kind, answers, metrics), answers)
