"""What regression and multi-label classification have in common: K numbers a text, compared one by one.

The denominator is the number of elements of the whole batch, B*K.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from ..arrays import Array, Namespace
from ..config import Numerics
from ..errors import InputError
from ..heads import HEADS, Head
from ..layout import Layout
from .base import Figure
from .head_objective import LOSS, HeadObjective, LabelledHostBatch, send


class NumberTargets(NamedTuple):
    """The numbers (B, K) and the denominator () of their comparison."""

    values: Array
    denominator: Array


class NumbersObjective(HeadObjective):
    """K numbers for each text, on the pooled output; a subclass says how they are compared."""

    head: ClassVar[Head] = HEADS["sequence_classification"]

    def count(self, batch: LabelledHostBatch) -> float:
        """B*K."""
        return float(batch.labels.size)

    def targets(
        self,
        xp: Namespace,
        batch: LabelledHostBatch,
        layout: Layout,
        numerics: Numerics,
        denominator: float,
        dtype: str,
    ) -> NumberTargets:
        """labels (B, K)."""
        return number_targets(xp, batch, denominator, dtype)


def number_targets(xp: Namespace, batch: LabelledHostBatch, denominator: float, dtype: str) -> NumberTargets:
    """labels (B, K) on the host -> targets."""
    return NumberTargets(send(xp, batch.labels, dtype), send(xp, denominator, dtype))


def check_shapes(logits: Sequence[int], labels: Sequence[int]) -> None:
    """Raises `InputError` unless logits and labels, given by their shapes, have the same width."""
    if tuple(logits) != tuple(labels):
        raise InputError(f"a text has {labels[-1]} labels in the batch; the model has {logits[-1]}")


def figures(xp: Namespace, targets: NumberTargets, loss: Array) -> dict[str, Figure]:
    """The mean loss."""
    return {LOSS: Figure(loss * targets.denominator, xp.sum(xp.ones_like(targets.values)))}
