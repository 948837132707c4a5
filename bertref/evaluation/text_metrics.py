"""The metrics of texts: those that a kind of task is usually judged by, the loss, and calibration.

Of a binary task precision, recall and F1 are those of label number 1, as everywhere in the field.
"""

from collections.abc import Sequence
from typing import TypeGuard, cast

import numpy as np

from ..errors import InputError
from ..metrics.calibration import brier_score, expected_calibration_error
from ..metrics.registry import DEFAULTS, METRICS, Judged, Kind
from ..metrics.registry import evaluate as evaluate_metrics
from ..metrics.value import Value, mean
from .losses import cross_entropy
from .texts import TextAnswers


def check_text_metrics(kind: str, names: Sequence[str]) -> None:
    """Raises `InputError` for a metric that the kind does not have."""
    known = (*METRICS[cast(Kind, kind)], "loss")
    for name in names:
        if name not in known:
            raise InputError(f"there is no metric {name!r} for {kind}; choose from {', '.join(known)}")


def text_metrics(kind: str, answers: TextAnswers, also: Sequence[str] = ()) -> dict[str, Value]:
    """The usual metrics of the answers and those in `also`, as far as what is known of the answers is enough for them;
    {} where the truth is not known. Raises `InputError` for a metric that the kind does not have."""
    check_text_metrics(kind, also)
    if answers.targets is None:
        return {}
    scores = None if kind == "regression" else answers.scores
    names = dict.fromkeys([*DEFAULTS[cast(Kind, kind)], *(name for name in also if name != "loss")])
    enough = [name for name in names if scores is not None or not METRICS[cast(Kind, kind)][name].needs_scores]
    given = Judged(answers.targets, answers.predictions, scores, len(answers.labels))
    found = evaluate_metrics(cast(Kind, kind), given, enough)
    if answers.logits is not None:
        found["loss"] = loss(kind, answers)
    if kind == "classification" and are_probabilities(answers.scores):
        found["brier"] = brier_score(answers.targets, answers.scores)
        found["calibration_error"] = expected_calibration_error(answers.targets, answers.scores)
    return found


def are_probabilities(scores: np.ndarray | None) -> TypeGuard[np.ndarray]:
    """Whether scores (N, K) are shares that add up to 1."""
    if scores is None:
        return False
    return bool(np.all((scores >= 0) & (scores <= 1))) and np.allclose(scores.sum(axis=1), 1, atol=1e-3)


def loss(kind: str, answers: TextAnswers) -> Value:
    """The loss that the task is trained by, without smoothing and class weights, in nats; of numbers the mean square.
    Of the logits, so that a probability of 0 has one."""
    x, y = answers.logits, answers.targets
    assert x is not None
    assert y is not None
    if kind == "regression":
        return mean(((x - y) ** 2).reshape(-1))
    if kind == "multi-label":
        return mean((np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))).reshape(-1))
    return cross_entropy(x, y)
