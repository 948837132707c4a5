"""What regression and multi-label classification have in common: K numbers a text, compared one by one.

The denominator is the number of elements of the whole batch, B*K.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..arrays import Array, Namespace
from ..errors import InputError
from .base import Figure
from .head_objective import LOSS, LabelledHostBatch, send


class NumberTargets(NamedTuple):
    """The numbers (B, K) and the denominator () of their comparison."""

    values: Array
    denominator: Array


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
