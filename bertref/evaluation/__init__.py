"""Evaluation: what a model answers for every example of a data set's part, and how good the answers are."""

from collections.abc import Callable, Sequence
from typing import Any

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded
from ..metrics.value import Value
from .choices import ChoiceAnswers, answer_choices, check_choice_metrics, choice_metrics
from .results import Evaluation
from .text_metrics import check_text_metrics, text_metrics
from .texts import TextAnswers, answer_texts
from .token_metrics import check_token_metrics, token_metrics
from .tokens import TokenAnswers, answer_tokens

__all__ = ["ChoiceAnswers", "Evaluation", "TextAnswers", "TokenAnswers", "check_metrics", "evaluate"]


def check_metrics(kind: str, names: Sequence[str], labels: Sequence[str] | None = None) -> None:
    """Raises `InputError` for a metric that a kind of task does not have, or not with these labels, where they are
    known."""
    if kind == "token-classification":
        check_token_metrics(names, labels)
    elif kind == "multiple-choice":
        check_choice_metrics(names)
    else:
        check_text_metrics(kind, names)


def evaluate(
    loaded: Loaded, kind: str, part: Part, settings: Any, *, metrics: Sequence[str] = (), limit: int | None = None
) -> Evaluation:
    """The model's answers for a part, the first `limit` of its examples, and their metrics.

    `settings` are the kind's own (`tasks.texts.TextSettings`, ...); `metrics` must be among those computed. Raises
    `InputError` for a model without the head, a label that it does not know, and a metric that the task does not have.
    """
    answer, metrics_of = ANSWERS[kind]
    answers = answer(loaded, kind, part, settings, limit=limit)
    return Evaluation(kind, part.name, len(answers), metrics_of(kind, answers, metrics), answers)


ANSWERS: dict[str, tuple[Callable[..., Any], Callable[..., dict[str, Value]]]] = {
    "classification": (answer_texts, text_metrics),
    "regression": (answer_texts, text_metrics),
    "multi-label": (answer_texts, text_metrics),
    "multiple-choice": (answer_choices, choice_metrics),
    "token-classification": (answer_tokens, token_metrics),
}
"""Kind -> what makes the answers, and what the metrics."""
