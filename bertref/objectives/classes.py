"""One right class a row: what classification of texts and of tokens, and multiple choice, have in common.

    loss = Σ_n w[label_n] l_n / Σ_n w[label_n]        l_n = -log softmax(x_n)[label_n], w = 1 without class weights

With label smoothing ε a row's target is spread over all K classes, each with its own weight:

    w[label_n] l_n   becomes   (1 - ε) w[label_n] l_n + ε/K Σ_c w[c] (-log softmax(x_n)[c])

and the denominator stays. A row whose label is negative (transformers writes -100) counts for nothing.

Source: transformers, `CrossEntropyLoss` of `BertFor...Classification`; torch, `CrossEntropyLoss` with `weight`,
`label_smoothing` and `ignore_index`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arrays import Array, Namespace
from ..errors import InputError
from ..opset import ForwardRun, OpSet
from .base import Figure
from .head_objective import LOSS, Compared, HeadObjective, LabelledHostBatch, send


@dataclass(frozen=True)
class Weighing:
    """How classes count: label smoothing in [0, 1], and a weight for each class (None: 1).

    Raises `InputError` for other numbers.
    """

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing <= 1:
            raise InputError(f"label smoothing is {self.label_smoothing}; it must be in [0, 1]")
        weights = self.class_weights
        if weights is not None and not (all(math.isfinite(w) and w >= 0 for w in weights) and sum(weights) > 0):
            raise InputError(f"class weights are {weights}; they must be 0 or more, and not all 0")

    def weights_of(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The weight of each label, 0 where it is negative; `InputError` for a label without a weight."""
        counted = labels >= 0
        if self.class_weights is None:
            return counted.astype(np.float64)
        if labels.max(initial=-1) >= len(self.class_weights):
            raise InputError(f"class weights: {len(self.class_weights)} of them, and there is a label {labels.max()}")
        return np.where(counted, np.asarray(self.class_weights)[np.where(counted, labels, 0)], 0.0)


@dataclass(frozen=True)
class ClassTargets:
    """Right classes (N), how much each row counts (N) and whether it does (N), all on the device.

    `spread` (K) is the class weights where labels are smoothed, () for 1; None where they are not.
    """

    labels: Array
    weights: Array
    counted: Array
    denominator: Array
    smoothing: float
    spread: Array | None


class ClassesCache(NamedTuple):
    """The run of the cross-entropy, and which of the two it was."""

    run: ForwardRun
    smoothed: bool


@dataclass(frozen=True)
class ClassesObjective(Weighing, HeadObjective):
    """Rows into classes; a subclass says which head gives the rows (N, K), and where their labels are."""

    def count(self, batch: LabelledHostBatch) -> float:
        """The sum of the weights of the labels that count."""
        return float(self.weights_of(batch.labels).sum())

    def compare(self, ops: OpSet, logits: Array, targets: ClassTargets, *, figures: bool = False) -> Compared:
        """logits (N, K) -> loss, and figures `loss` and `accuracy`."""
        check_width(self.class_weights, logits.shape[1])
        return compare(ops, logits, targets, figures)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (N, K)."""
        return compare_backward(ops, d_loss, cache)


def class_targets(
    xp: Namespace, labels: npt.NDArray[Any], weighing: Weighing, denominator: float, dtype: str
) -> ClassTargets:
    """labels (N) on the host -> targets."""
    smoothed = weighing.label_smoothing > 0
    return ClassTargets(
        labels=send(xp, np.maximum(labels, 0), "int64"),
        weights=send(xp, weighing.weights_of(labels), dtype),
        counted=send(xp, labels >= 0, dtype),
        denominator=send(xp, denominator, dtype),
        smoothing=weighing.label_smoothing,
        spread=send(xp, 1.0 if weighing.class_weights is None else weighing.class_weights, dtype) if smoothed else None,
    )


def compare(ops: OpSet, logits: Array, targets: ClassTargets, figures: bool) -> Compared:
    """logits (N, K) -> loss; figures `loss` and `accuracy`, which knows no weights."""
    if targets.spread is None:
        loss, run = ops.cross_entropy.forward(logits, targets.labels, targets.weights, targets.denominator)
    else:
        loss, run = ops.soft_cross_entropy.forward(logits, smoothed(ops.xp, logits, targets), targets.denominator)
    shown = _figures(ops.xp, logits, targets, loss) if figures else {}
    return Compared(loss, ClassesCache(run, targets.spread is not None), shown)


def compare_backward(ops: OpSet, d_loss: Array, cache: ClassesCache) -> Array:
    """d_loss () -> gradient of the logits (N, K)."""
    op = ops.soft_cross_entropy if cache.smoothed else ops.cross_entropy
    return op.backward(d_loss, cache.run).logits


def smoothed(xp: Namespace, logits: Array, targets: ClassTargets) -> Array:
    """The target of every class, (N, K): counted_n w[c] ((1 - ε) [c = label_n] + ε/K)."""
    K = logits.shape[1]
    classes = xp.arange(K, dtype=targets.labels.dtype)
    right = xp.expand_dims(targets.labels, axis=1) == xp.expand_dims(classes, axis=0)
    shares = xp.astype(right, targets.weights.dtype) * (1 - targets.smoothing) + targets.smoothing / K
    return xp.expand_dims(targets.counted, axis=1) * (targets.spread * shares)


def check_width(weights: Sequence[float] | None, labels: int) -> None:
    """Raises `InputError` unless there is a weight for each of the model's labels."""
    if weights is not None and len(weights) != labels:
        raise InputError(f"class weights: {len(weights)} of them; the model has {labels} labels")


def _figures(xp: Namespace, logits: Array, targets: ClassTargets, loss: Array) -> dict[str, Figure]:
    right = xp.astype(xp.argmax(logits, axis=-1) == targets.labels, targets.weights.dtype)
    return {
        LOSS: Figure(loss * targets.denominator, xp.sum(targets.weights)),
        "accuracy": Figure(xp.sum(targets.counted * right), xp.sum(targets.counted)),
    }
