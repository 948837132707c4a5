"""What a student's logits are compared with when a teacher's say how likely everything is: one way for each kind of
answer.

    classes       T² KL(softmax(t/T) || softmax(x/T)), mean over the rows that count: texts, tokens, examples
    spans         the same over the positions, for start and for end, and the mean of both
    labels        T² KL of every label's yes and no at σ(t/T), mean over the B*K answers
    numbers       (x - t)², mean over the B*K numbers: T² times the squared error of x/T and t/T, at any temperature

A token counts where it counts for the hard loss. Of texts and choices every row counts: one without a label (a negative
one) is learnt from by the teacher's answer alone. Class weights have no part in it.

Source: Hinton et al. 2015, section 2; Sanh et al. 2019, section 2.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import Array, Namespace
from ..errors import InputError
from ..layout import Layout
from ..opset import OpSet
from . import spans
from .base import HostBatch
from .choice import ChoiceObjective
from .classification import ClassificationObjective
from .head_objective import HeadObjective, send
from .multi_label import MultiLabelObjective
from .regression import RegressionObjective
from .spans import SpanObjective, SpanTargets
from .tokens import TokenObjective, rows_of


class TaughtHostBatch(HostBatch, Protocol):
    """A batch with its teacher's logits, as `bertref.data.tasks.taught` describes them."""

    @property
    def teacher_logits(self) -> npt.NDArray[Any]: ...


class Soft(Protocol):
    """A comparison of logits with a teacher's."""

    def count(self, batch: Any) -> float:
        """How much of a whole batch counts."""
        ...

    def targets(
        self, xp: Namespace, batch: Any, layout: Layout, hard: Any, denominator: float, dtype: str, temperature: float
    ) -> Any:
        """The host's `teacher_logits` -> what the logits are compared with; `hard` are the targets of the task."""
        ...

    def compare(self, ops: OpSet, logits: Array, targets: Any, temperature: float) -> tuple[Array, Any]:
        """Logits as the head gives them -> loss () and cache."""
        ...

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any, temperature: float) -> Array:
        """d_loss () -> gradient of the logits."""
        ...


class RowTargets(NamedTuple):
    """The teacher's logits (N, C), how much each row counts (N), and the denominator ()."""

    logits: Array
    weights: Array
    denominator: Array


class SoftClasses:
    """Classes of texts, of tokens, and choices."""

    def count(self, batch: Any) -> float:
        return float(_counted(batch.labels).sum())

    def targets(
        self, xp: Namespace, batch: Any, layout: Layout, hard: Any, denominator: float, dtype: str, temperature: float
    ) -> RowTargets:
        logits, counted = batch.teacher_logits, _counted(batch.labels)
        if counted.ndim == 2:  # of tokens
            logits, counted = (rows_of(array, batch.attention_mask, layout) for array in (logits, counted))
        return RowTargets(send(xp, logits, dtype), send(xp, counted, dtype), send(xp, denominator, dtype))

    def compare(self, ops: OpSet, logits: Array, targets: RowTargets, temperature: float) -> tuple[Array, Any]:
        check_width(logits, targets.logits)
        return ops.kl_divergence.forward(
            logits, targets.logits, targets.weights, targets.denominator, temperature=temperature
        )

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any, temperature: float) -> Array:
        return ops.kl_divergence.backward(d_loss, cache).logits


def _counted(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows count: tokens (B, S) with a label, and every text or choice (B,)."""
    return np.asarray(labels >= 0 if labels.ndim == 2 else np.ones_like(labels, bool))


@dataclass(frozen=True)
class SoftSpanTargets:
    """The teacher's logits of start and end (B, S), -inf at excluded padding; twice the denominator, because the loss
    is half of the sum of both; and the task's targets."""

    start: Array
    end: Array
    denominator: Array
    hard: SpanTargets


class SoftSpans:
    """Positions of start and end."""

    def count(self, batch: Any) -> float:
        return float(batch.inside.sum())

    def targets(
        self, xp: Namespace, batch: Any, layout: Layout, hard: SpanTargets, denominator: float, dtype: str,
        temperature: float,
    ) -> SoftSpanTargets:  # fmt: skip
        both = batch.teacher_logits
        if hard.excluded:
            both = np.where(batch.attention_mask[:, :, None] != 0, both, -math.inf)
        start, end = (send(xp, both[:, :, i], dtype) for i in range(2))
        return SoftSpanTargets(start, end, send(xp, 2 * denominator, dtype), hard)

    def compare(self, ops: OpSet, logits: Array, targets: SoftSpanTargets, temperature: float) -> tuple[Array, Any]:
        start, end, unpack = spans.start_and_end(ops, logits, targets.hard)
        losses, runs = [], []
        for mine, teachers in ((start, targets.start), (end, targets.end)):
            loss, run = ops.kl_divergence.forward(
                mine, teachers, targets.hard.weights, targets.denominator, temperature=temperature
            )
            losses.append(loss)
            runs.append(run)
        return ops.add.forward(*losses)[0], (*runs, unpack)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any, temperature: float) -> Array:
        *runs, unpack = cache
        start, end = (ops.kl_divergence.backward(d_loss, run).logits for run in runs)
        return spans.start_and_end_backward(ops, start, end, unpack)


class LabelTargets(NamedTuple):
    """The teacher's probabilities (B, K), their entropy () over the denominator, and the denominator (), both with the
    factor T² in them."""

    probabilities: Array
    entropy: Array
    denominator: Array


class SoftLabels:
    """Labels that are each a question of their own: the binary cross-entropy less the teacher's own, its entropy."""

    def count(self, batch: Any) -> float:
        return float(batch.labels.size)

    def targets(
        self, xp: Namespace, batch: Any, layout: Layout, hard: Any, denominator: float, dtype: str, temperature: float
    ) -> LabelTargets:
        x = np.asarray(batch.teacher_logits, np.float64) / temperature
        yes = np.exp(-np.logaddexp(0, -x))
        entropy = (np.logaddexp(0, x) - x * yes).sum()
        below = denominator / temperature**2
        return LabelTargets(send(xp, yes, dtype), send(xp, entropy / below, dtype), send(xp, below, dtype))

    def compare(self, ops: OpSet, logits: Array, targets: LabelTargets, temperature: float) -> tuple[Array, Any]:
        check_width(logits, targets.probabilities)
        loss, run = ops.binary_cross_entropy.forward(logits / temperature, targets.probabilities, targets.denominator)
        return loss - targets.entropy, run

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any, temperature: float) -> Array:
        # loss = cross-entropy(logits / T) - entropy
        return ops.binary_cross_entropy.backward(d_loss, cache).logits / temperature


class SoftNumbers:
    """Numbers: the temperature cancels."""

    def count(self, batch: Any) -> float:
        return float(batch.labels.size)

    def targets(
        self, xp: Namespace, batch: Any, layout: Layout, hard: Any, denominator: float, dtype: str, temperature: float
    ) -> tuple[Array, Array]:
        return send(xp, batch.teacher_logits, dtype), send(xp, denominator, dtype)

    def compare(self, ops: OpSet, logits: Array, targets: tuple[Array, Array], temperature: float) -> tuple[Array, Any]:
        wanted, denominator = targets
        check_width(logits, wanted)
        flat, teachers = (ops.xp.reshape(a, (-1,)) for a in (logits, wanted))
        loss, run = ops.squared_error.forward(flat, teachers, denominator)
        return loss, (run, tuple(logits.shape))

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any, temperature: float) -> Array:
        run, shape = cache
        return ops.xp.reshape(ops.squared_error.backward(d_loss, run).predictions, shape)


COMPARISONS: dict[type[HeadObjective], Soft] = {
    ClassificationObjective: SoftClasses(),
    TokenObjective: SoftClasses(),
    ChoiceObjective: SoftClasses(),
    SpanObjective: SoftSpans(),
    MultiLabelObjective: SoftLabels(),
    RegressionObjective: SoftNumbers(),
}
"""Objective -> how its logits are compared with a teacher's."""


def soft_of(objective: Any) -> Soft:
    """The comparison for an objective; `InputError` if there is none."""
    found = COMPARISONS.get(type(objective))
    if found is None:
        known = ", ".join(kind.__name__ for kind in COMPARISONS)
        raise InputError(f"distillation: {type(objective).__name__} can't learn from a teacher's logits; {known} can")
    return found


def check_width(logits: Array, teacher: Array) -> None:
    """Raises `InputError` unless the teacher has as many labels as the student."""
    if tuple(logits.shape) != tuple(teacher.shape):
        raise InputError(f"distillation: the teacher has {teacher.shape[-1]} labels, the student {logits.shape[-1]}")
