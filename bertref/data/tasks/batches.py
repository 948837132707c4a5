"""The batches of the tasks: what is common (`Batch`), and the answers that a model is to give.

K is the number of labels, C that of choices. The number of labels is the model's; `check_labels` is given it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ...config import BertConfig
from ...errors import InputError
from ..batch import IGNORED_LABEL, Batch, FieldTable, check_range, where


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassificationBatch(Batch):
    """`Batch`, and labels (B,) int32: the number of each text's class."""

    LAYOUT: ClassVar[FieldTable] = {**Batch.LAYOUT, "labels": ("", np.int32)}

    labels: npt.NDArray[np.int32]

    def check_labels(self, labels: int) -> None:
        """Raises `InputError` for a label that a model with that many of them does not have."""
        check_range("labels", self.labels, labels, "the model's labels")


@dataclass(frozen=True, eq=False, kw_only=True)
class RegressionBatch(Batch):
    """`Batch`, and labels (B,K) float64: the numbers that belong to each text."""

    LAYOUT: ClassVar[FieldTable] = {**Batch.LAYOUT, "labels": ("K", np.float64)}

    labels: npt.NDArray[np.float64]

    def validate(self, config: BertConfig) -> None:
        """As `Batch.validate`, and that the numbers are finite."""
        super().validate(config)
        _refuse("labels", self.labels, ~np.isfinite(self.labels), "is not a finite number")


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiLabelBatch(Batch):
    """`Batch`, and labels (B,K) float64: 1 where a text has a label, 0 where not."""

    LAYOUT: ClassVar[FieldTable] = {**Batch.LAYOUT, "labels": ("K", np.float64)}

    labels: npt.NDArray[np.float64]

    def validate(self, config: BertConfig) -> None:
        """As `Batch.validate`, and that labels are 0 or 1."""
        super().validate(config)
        _refuse("labels", self.labels, (self.labels != 0) & (self.labels != 1), "is neither 0 nor 1")


@dataclass(frozen=True, eq=False, kw_only=True)
class SpanBatch(Batch):
    """`Batch`, and the columns of the answer's first and last token:

    start_positions  (B,) int32   column of the sequence; 0, [CLS]: there is no answer here
    end_positions    (B,) int32   the same

    A position where there is no token, on padding or beyond the sequence, is outside: the row counts for nothing.
    """

    LAYOUT: ClassVar[FieldTable] = {
        **Batch.LAYOUT, "start_positions": ("", np.int32), "end_positions": ("", np.int32),
    }  # fmt: skip

    start_positions: npt.NDArray[np.int32]
    end_positions: npt.NDArray[np.int32]

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """(B,): whether the answer is in the sequence, and the row counts."""
        return self._on_token(self.start_positions) & self._on_token(self.end_positions)

    def _on_token(self, positions: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """positions (B,), whatever they are -> whether a token stands there (B,)."""
        B, S = self.attention_mask.shape
        held = np.clip(positions, 0, S - 1)
        return np.asarray((held == positions) & (self.attention_mask[np.arange(B), held] != 0))

    def validate(self, config: BertConfig) -> None:
        """As `Batch.validate`, and that an answer is inside with both of its ends or with neither."""
        super().validate(config)
        start, end = self._on_token(self.start_positions), self._on_token(self.end_positions)
        for row in np.flatnonzero(start != end)[:1]:
            raise InputError(
                f"batch: row {row}: the answer's tokens are {self.start_positions[row]} to {self.end_positions[row]}, "
                "of which one is outside of the sequence; both must be inside or both outside"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenBatch(Batch):
    """`Batch`, and labels (B,S) int32: the number of each token's class; -100, also on padding, is ignored."""

    LAYOUT: ClassVar[FieldTable] = {**Batch.LAYOUT, "labels": ("S", np.int32)}
    PADDING: ClassVar[Mapping[str, int]] = {"labels": IGNORED_LABEL}

    labels: npt.NDArray[np.int32]

    def validate(self, config: BertConfig) -> None:
        """As `Batch.validate`, and that padding has no label: nothing is computed there."""
        super().validate(config)
        wrong = (self.labels != IGNORED_LABEL) & (self.attention_mask == 0)
        _refuse("labels", self.labels, wrong, f"is a label of padding; write {IGNORED_LABEL} there")

    def check_labels(self, labels: int) -> None:
        """Raises `InputError` for a label that a model with that many of them does not have."""
        wrong = (self.labels != IGNORED_LABEL) & ((self.labels < 0) | (self.labels >= labels))
        why = f"is neither {IGNORED_LABEL} nor in 0 to {labels - 1} (the model's labels)"
        _refuse("labels", self.labels, wrong, why)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChoiceBatch(Batch):
    """B examples of C sequences each, of which one is right:

    input_ids, attention_mask, token_type_ids  (B,C,S) int32
    example                                    (B,C)   int64   each sequence has a number of its own
    labels                                     (B,)    int32   the right one
    """

    LAYOUT: ClassVar[FieldTable] = {
        "input_ids": ("CS", np.int32),
        "attention_mask": ("CS", np.int32),
        "token_type_ids": ("CS", np.int32),
        "example": ("C", np.int64),
        "labels": ("", np.int32),
    }

    labels: npt.NDArray[np.int32]

    def padded(self, sizes: Mapping[str, int]) -> Self:
        """As `Batch.padded`; C can't grow, because an empty choice would be one that can be chosen."""
        choices = self.input_ids.shape[1]
        if sizes.get("C", choices) != choices:
            raise InputError(f"batch: examples of {choices} choices can't be padded to {sizes['C']}")
        return super().padded(sizes)

    def validate(self, config: BertConfig) -> None:
        """As `Batch.validate`, and the labels."""
        super().validate(config)
        check_range("labels", self.labels, self.input_ids.shape[1], "the number of choices")


def _refuse(name: str, array: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], why: str) -> None:
    """Raises `InputError` for the first element that is wrong."""
    if wrong.any():
        place = np.argwhere(wrong)[0]
        raise InputError(f"batch: {name}, {where(place)}: {array[tuple(place)]} {why}")
