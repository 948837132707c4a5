"""The metrics of texts: which ones a kind of task has, and each as a function of `TextAnswers`.

A binary task's positive label is the second one, number 1, as everywhere in the field.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import InputError
from ..metrics import classification, correlation, multi_label, ranking
from ..metrics.calibration import brier_score, expected_calibration_error
from ..metrics.value import Value
from .texts import TextAnswers

Metric = Callable[[TextAnswers], Value]


def _argmax(function: Callable[..., Value], **settings: object) -> Metric:
    """A metric of the labels and the likeliest labels."""
    return lambda a: function(a.targets, a.scores.argmax(axis=1), **settings)


def _loss(a: TextAnswers) -> Value:
    """The mean of -log of the right label's probability."""
    assert a.targets is not None
    shifted = a.logits - a.logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return _mean(-log_probs[np.arange(len(a)), a.targets])


def _binary_loss(a: TextAnswers) -> Value:
    """The mean of the binary cross-entropies of all labels of all texts."""
    assert a.targets is not None
    x, y = a.logits, a.targets
    return _mean((np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))).reshape(-1))


def _mean(values: np.ndarray) -> Value:
    return Value(float(np.mean(values))) if values.size else Value(float("nan"), True)


def _column(function: Callable[..., Value]) -> Metric:
    """A metric of numbers; of several columns the mean of theirs."""

    def value(a: TextAnswers) -> Value:
        assert a.targets is not None
        found = [function(a.targets[:, k], a.scores[:, k]) for k in range(a.scores.shape[1])]
        return Value(float(np.mean([v.value for v in found])), any(v.undefined for v in found))

    return value


def _marks(function: Callable[..., Value], **settings: object) -> Metric:
    """A metric of marks (N, K): a label holds from a probability of a half on."""
    return lambda a: function(a.targets, (a.scores >= 0.5).astype(np.int64), **settings)


BINARY: dict[str, Metric] = {
    "f1": _argmax(classification.f1),
    "precision": _argmax(classification.precision),
    "recall": _argmax(classification.recall),
    "auc": lambda a: ranking.auc(a.targets, a.scores[:, 1]),  # type: ignore[arg-type]
    "average_precision": lambda a: ranking.average_precision(a.targets, a.scores[:, 1]),  # type: ignore[arg-type]
}
SEVERAL: dict[str, Metric] = {
    "accuracy": _argmax(classification.accuracy),
    "loss": _loss,
    "matthews": _argmax(classification.matthews),
    "f1_macro": _argmax(classification.f1, average="macro"),
    "f1_micro": _argmax(classification.f1, average="micro"),
    "f1_weighted": _argmax(classification.f1, average="weighted"),
    "brier": lambda a: brier_score(a.targets, a.scores),  # type: ignore[arg-type]
    "calibration_error": lambda a: expected_calibration_error(a.targets, a.scores),  # type: ignore[arg-type]
}
MANY_CLASSES: dict[str, Metric] = {
    "auc": lambda a: ranking.auc_one_vs_rest(a.targets, a.scores),  # type: ignore[arg-type]
}
NUMBERS: dict[str, Metric] = {
    "pearson": _column(correlation.pearson),
    "spearman": _column(correlation.spearman),
    "mse": _column(correlation.mean_squared_error),
    "mae": _column(correlation.mean_absolute_error),
    "loss": _column(correlation.mean_squared_error),
}
MARKS: dict[str, Metric] = {
    "accuracy": _marks(multi_label.subset_accuracy),
    "f1_micro": _marks(multi_label.f1, average="micro"),
    "f1_macro": _marks(multi_label.f1, average="macro"),
    "f1_samples": _marks(multi_label.f1, average="samples"),
    "auc": lambda a: ranking.mean_auc(a.targets, a.scores),  # type: ignore[arg-type]
    "loss": _binary_loss,
}


def known(kind: str, labels: int) -> Mapping[str, Metric]:
    """The metrics of a kind of task by name."""
    if kind == "regression":
        return NUMBERS
    if kind == "multi-label":
        return MARKS
    return {**SEVERAL, **(BINARY if labels == 2 else MANY_CLASSES)}


def text_metrics(kind: str, answers: TextAnswers, also: Sequence[str] = ()) -> dict[str, Value]:
    """All metrics of the answers, {} where the truth is not known. Raises `InputError` for one in `also` that the task
    does not have."""
    there = known(kind, len(answers.labels))
    for name in also:
        if name not in there:
            raise InputError(f"no metric {name!r} for {kind} with {len(answers.labels)} labels; there are "
                             f"{', '.join(there)}")  # fmt: skip
    if answers.targets is None:
        return {}
    return {name: metric(answers) for name, metric in there.items()}
