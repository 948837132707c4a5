"""The batch of pre-training: masked words, and whether the second segment follows the first.

P is the number of predictions of a padded row: as in google-research/bert (`create_pretraining_data.py`) the logits of
the masked positions alone are computed. A padded prediction has weight 0, so its position 0 and its id 0 count for
nothing.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...config import BertConfig
from ...errors import InputError
from ..batch import IGNORED_LABEL, Batch, FieldTable, check_range


@dataclass(frozen=True, eq=False, kw_only=True)
class PretrainingBatch(Batch):
    """`Batch`, its ids after masking, and

    masked_lm_positions  (B,P) int32    columns of the tokens to predict, rising
    masked_lm_ids        (B,P) int32    what stood there
    masked_lm_weights    (B,P) float32  1 = prediction, 0 = padding
    next_sentence_label  (B,)  int32    1 = the second segment is random, 0 = it follows the first
    """

    LAYOUT: ClassVar[FieldTable] = {
        "input_ids": ("S", np.int32),
        "attention_mask": ("S", np.int32),
        "token_type_ids": ("S", np.int32),
        "masked_lm_positions": ("P", np.int32),
        "masked_lm_ids": ("P", np.int32),
        "masked_lm_weights": ("P", np.float32),
        "next_sentence_label": ("", np.int32),
        "example": ("", np.int64),
    }

    masked_lm_positions: npt.NDArray[np.int32]
    masked_lm_ids: npt.NDArray[np.int32]
    masked_lm_weights: npt.NDArray[np.float32]
    next_sentence_label: npt.NDArray[np.int32]

    def validate(self, config: BertConfig) -> None:
        """As `Batch.validate`, and the predictions and labels."""
        super().validate(config)
        seq_len = self.input_ids.shape[1]
        check_range("masked_lm_positions", self.masked_lm_positions, seq_len, "the length of the sequence")
        check_range("masked_lm_ids", self.masked_lm_ids, config.vocab_size, "vocab_size")
        check_range("next_sentence_label", self.next_sentence_label, 2, "1 = random, 0 = next")
        good = np.isfinite(self.masked_lm_weights) & (self.masked_lm_weights >= 0)
        if not good.all():
            row, column = np.argwhere(~good)[0]
            value = self.masked_lm_weights[row, column]
            raise InputError(
                f"batch: masked_lm_weights, row {row}, column {column}: {value} is not a weight (0 or more)"
            )
        self._check_predicted()

    def _check_predicted(self) -> None:
        """A prediction that counts is of a token: padding isn't computed, so there is nothing to predict it from."""
        padding = np.take_along_axis(self.attention_mask, self.masked_lm_positions, axis=1) == 0
        wrong = padding & (self.masked_lm_weights > 0)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            position, weight = self.masked_lm_positions[row, column], self.masked_lm_weights[row, column]
            raise InputError(
                f"batch: masked_lm_positions, row {row}, column {column}: position {position} is padding "
                f"(attention_mask 0), but its weight is {weight}; a prediction there needs weight 0"
            )


def zeros(examples: int, seq_len: int, predictions: int) -> PretrainingBatch:
    """A batch of padding, of shapes (examples, seq_len) and (examples, predictions), to be filled in."""
    return PretrainingBatch.zeros(examples, {"S": seq_len, "P": predictions})


def padded(batch: PretrainingBatch, seq_len: int, predictions: int) -> PretrainingBatch:
    """The same examples with S = seq_len and P = predictions; see `Batch.padded`."""
    return batch.padded({"S": seq_len, "P": predictions})


def from_labels(
    input_ids: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    attention_mask: npt.ArrayLike | None = None,
    token_type_ids: npt.ArrayLike | None = None,
    next_sentence_label: npt.ArrayLike | None = None,
    example: npt.ArrayLike | None = None,
    predictions: int | None = None,
) -> PretrainingBatch:
    """A batch from Hugging Face's arguments: `labels` (B,S) holds the id to predict, or -100 = not predicted.

    Absent arguments get Hugging Face's defaults: mask 1, type 0; label 0, example 0, 1, 2, ... P is
    `predictions`, or the largest number of predictions in a row. Raises `InputError` where the shapes differ
    or P is too small.
    """
    ids, wanted = np.asarray(input_ids), np.asarray(labels)
    if ids.ndim != 2 or wanted.shape != ids.shape:
        raise InputError(f"labels have shape {wanted.shape} and input_ids {ids.shape}; both must be (B, S)")
    rows, columns = np.nonzero(wanted != IGNORED_LABEL)
    counts = np.bincount(rows, minlength=len(ids))
    widest = int(counts.max(initial=0))
    if predictions is not None and widest > predictions:
        raise InputError(
            f"labels, row {int(counts.argmax())}: {widest} predictions, more than the {predictions} allowed"
        )
    # row by row, the how-many-th prediction of its row each one is
    slots = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    batch = zeros(ids.shape[0], ids.shape[1], widest if predictions is None else predictions)
    _fill(batch.input_ids, "input_ids", ids)
    _fill(batch.attention_mask, "attention_mask", 1 if attention_mask is None else attention_mask)
    _fill(batch.token_type_ids, "token_type_ids", 0 if token_type_ids is None else token_type_ids)
    batch.masked_lm_positions[rows, slots] = columns
    batch.masked_lm_ids[rows, slots] = _whole_numbers("labels", wanted)[rows, columns]
    batch.masked_lm_weights[rows, slots] = 1
    _fill(
        batch.next_sentence_label,
        "next_sentence_label",
        0 if next_sentence_label is None else next_sentence_label,
    )
    _fill(batch.example, "example", np.arange(len(ids)) if example is None else example)
    return batch


def _fill(target: npt.NDArray[Any], name: str, values: npt.ArrayLike) -> None:
    """target = values, where the shapes agree and nothing is lost by the narrower dtype."""
    array = _whole_numbers(name, values)
    if array.ndim and array.shape != target.shape:
        raise InputError(f"{name} has shape {array.shape}; {target.shape} is needed")
    target[...] = array


def _whole_numbers(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(values)
    limits = np.iinfo(np.int32)
    if array.dtype.kind not in "iub":
        raise InputError(f"{name} has dtype {array.dtype}; whole numbers are needed")
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise InputError(f"{name} holds {array.min()} to {array.max()}; ids fit in 32 bits")
    return array
