"""Batches with a teacher's logits, from which distillation learns: a task's own, and one field more.

K is the number of labels, C that of choices, E the two ends of a span.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...config import BertConfig
from ...errors import InputError
from ..batch import Batch, FieldTable, where
from .batches import (
    ChoiceBatch,
    ClassificationBatch,
    MultiLabelBatch,
    RegressionBatch,
    SpanBatch,
    TokenBatch,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Taught(Batch):
    """A batch with teacher_logits float64, in the shape in which the task's head gives them, tokens padded."""

    teacher_logits: npt.NDArray[np.float64]

    def validate(self, config: BertConfig) -> None:
        """As the task's batch, and that the logits are finite."""
        super().validate(config)
        wrong = ~np.isfinite(self.teacher_logits)
        if wrong.any():
            place = np.argwhere(wrong)[0]
            row = where(place[:1])
            raise InputError(
                f"batch: teacher_logits, {row}: {self.teacher_logits[tuple(place)]} is not a finite number"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class TaughtClassificationBatch(Taught, ClassificationBatch):
    """teacher_logits (B,K)."""

    LAYOUT: ClassVar[FieldTable] = {**ClassificationBatch.LAYOUT, "teacher_logits": ("K", np.float64)}


@dataclass(frozen=True, eq=False, kw_only=True)
class TaughtRegressionBatch(Taught, RegressionBatch):
    """teacher_logits (B,K)."""

    LAYOUT: ClassVar[FieldTable] = {**RegressionBatch.LAYOUT, "teacher_logits": ("K", np.float64)}


@dataclass(frozen=True, eq=False, kw_only=True)
class TaughtMultiLabelBatch(Taught, MultiLabelBatch):
    """teacher_logits (B,K)."""

    LAYOUT: ClassVar[FieldTable] = {**MultiLabelBatch.LAYOUT, "teacher_logits": ("K", np.float64)}


@dataclass(frozen=True, eq=False, kw_only=True)
class TaughtSpanBatch(Taught, SpanBatch):
    """teacher_logits (B,S,2): of start and end."""

    LAYOUT: ClassVar[FieldTable] = {**SpanBatch.LAYOUT, "teacher_logits": ("SE", np.float64)}


@dataclass(frozen=True, eq=False, kw_only=True)
class TaughtTokenBatch(Taught, TokenBatch):
    """teacher_logits (B,S,K)."""

    LAYOUT: ClassVar[FieldTable] = {**TokenBatch.LAYOUT, "teacher_logits": ("SK", np.float64)}


@dataclass(frozen=True, eq=False, kw_only=True)
class TaughtChoiceBatch(Taught, ChoiceBatch):
    """teacher_logits (B,C)."""

    LAYOUT: ClassVar[FieldTable] = {**ChoiceBatch.LAYOUT, "teacher_logits": ("C", np.float64)}


TAUGHT: dict[type[Batch], type[Taught]] = {
    ClassificationBatch: TaughtClassificationBatch,
    RegressionBatch: TaughtRegressionBatch,
    MultiLabelBatch: TaughtMultiLabelBatch,
    SpanBatch: TaughtSpanBatch,
    TokenBatch: TaughtTokenBatch,
    ChoiceBatch: TaughtChoiceBatch,
}
"""A task's batch -> the one with a teacher's logits."""


def taught(batch: Batch, teacher_logits: npt.ArrayLike) -> Taught:
    """The batch with its teacher's logits."""
    fields: dict[str, Any] = dict(batch.items())
    return TAUGHT[type(batch)](**fields, teacher_logits=np.asarray(teacher_logits, np.float64))
