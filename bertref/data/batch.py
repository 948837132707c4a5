"""The batch: what one training or evaluation step reads, as NumPy arrays on the host.

Letters: B examples, S tokens of a padded sequence, P masked positions of a padded row of predictions. Rows
are padded with zeros: a padded token has attention_mask 0, a padded prediction has weight 0 (so its position
0 and its id 0 count for nothing). The names follow Hugging Face; the padded rows of predictions follow
google-research/bert (`create_pretraining_data.py`), which computes the logits of the masked positions only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig
from ..errors import InputError

IGNORED_LABEL = -100
"""What Hugging Face writes where a position is not predicted."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B examples.

    input_ids             (B,S) int32    ids after masking
    attention_mask        (B,S) int32    1 = token, 0 = padding
    token_type_ids        (B,S) int32    0 = first segment, 1 = second
    masked_lm_positions   (B,P) int32    columns of the tokens to predict, rising
    masked_lm_ids         (B,P) int32    what stood there
    masked_lm_weights     (B,P) float32  1 = prediction, 0 = padding
    next_sentence_label   (B,)  int32    1 = the second segment is random, 0 = it follows the first
    example               (B,)  int64    the example's number in the run: the address of its random numbers
    """

    input_ids: npt.NDArray[np.int32]
    attention_mask: npt.NDArray[np.int32]
    token_type_ids: npt.NDArray[np.int32]
    masked_lm_positions: npt.NDArray[np.int32]
    masked_lm_ids: npt.NDArray[np.int32]
    masked_lm_weights: npt.NDArray[np.float32]
    next_sentence_label: npt.NDArray[np.int32]
    example: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    def __getitem__(self, rows: Any) -> "Batch":
        """The examples of a slice, as views; or of an array of row numbers, as copies."""
        if isinstance(rows, int | np.integer):
            raise TypeError("a batch is indexed by a slice or by an array of rows; write batch[i : i + 1]")
        return Batch(**{name: array[rows] for name, array in self.items()})

    def items(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(name, array) of every field."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)


def zeros(examples: int, seq_len: int, predictions: int) -> Batch:
    """A batch of padding, of shapes (examples, seq_len) and (examples, predictions), to be filled in."""
    shapes = {"S": (examples, seq_len), "P": (examples, predictions), "": (examples,)}
    return Batch(**{name: np.zeros(shapes[axis], dtype) for name, (axis, dtype) in LAYOUT.items()})


LAYOUT: dict[str, tuple[str, npt.DTypeLike]] = {
    "input_ids": ("S", np.int32),
    "attention_mask": ("S", np.int32),
    "token_type_ids": ("S", np.int32),
    "masked_lm_positions": ("P", np.int32),
    "masked_lm_ids": ("P", np.int32),
    "masked_lm_weights": ("P", np.float32),
    "next_sentence_label": ("", np.int32),
    "example": ("", np.int64),
}
"""Field -> its second axis ("" where there is none) and its dtype."""


def padded(batch: Batch, seq_len: int, predictions: int) -> Batch:
    """The same examples with S = seq_len and P = predictions, so that every step has arrays of one shape.

    Raises `InputError` if the batch is wider than that: padding never cuts anything off.
    """
    sizes = {"S": seq_len, "P": predictions}
    arrays = {}
    for name, array in batch.items():
        axis = LAYOUT[name][0]
        if axis:
            missing = sizes[axis] - array.shape[1]
            if missing < 0:
                raise InputError(
                    f"batch: {name} has {array.shape[1]} columns; it can't be padded to {sizes[axis]}"
                )
            array = np.pad(array, ((0, 0), (0, missing)))
        arrays[name] = array
    return Batch(**arrays)


def from_labels(
    input_ids: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    attention_mask: npt.ArrayLike | None = None,
    token_type_ids: npt.ArrayLike | None = None,
    next_sentence_label: npt.ArrayLike | None = None,
    example: npt.ArrayLike | None = None,
    predictions: int | None = None,
) -> Batch:
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


def validate(batch: Batch, config: BertConfig) -> None:
    """Raises `InputError`, naming row, column, value and limit, if a model of `config` can't read the batch.

    Ops gather and scatter without looking; so whatever comes from outside is checked here, once, on the host.
    """
    _check_shapes(batch)
    seq_len = batch.input_ids.shape[1]
    if seq_len > config.max_position_embeddings:
        raise InputError(
            f"batch: sequences of {seq_len} tokens; the model has max_position_embeddings = "
            f"{config.max_position_embeddings}; make them shorter"
        )
    _check_range("input_ids", batch.input_ids, config.vocab_size, "vocab_size")
    _check_range("attention_mask", batch.attention_mask, 2, "1 = token, 0 = padding")
    _check_range("token_type_ids", batch.token_type_ids, config.type_vocab_size, "type_vocab_size")
    _check_range("masked_lm_positions", batch.masked_lm_positions, seq_len, "the length of the sequence")
    _check_range("masked_lm_ids", batch.masked_lm_ids, config.vocab_size, "vocab_size")
    _check_range("next_sentence_label", batch.next_sentence_label, 2, "1 = random, 0 = next")
    good = np.isfinite(batch.masked_lm_weights) & (batch.masked_lm_weights >= 0)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        value = batch.masked_lm_weights[row, column]
        raise InputError(
            f"batch: masked_lm_weights, row {row}, column {column}: {value} is not a weight (0 or more)"
        )
    _check_predicted(batch)


def _check_predicted(batch: Batch) -> None:
    """A prediction that counts is of a token: padding isn't computed, so there is nothing to predict it from."""
    padding = np.take_along_axis(batch.attention_mask, batch.masked_lm_positions, axis=1) == 0
    wrong = padding & (batch.masked_lm_weights > 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        position, weight = batch.masked_lm_positions[row, column], batch.masked_lm_weights[row, column]
        raise InputError(
            f"batch: masked_lm_positions, row {row}, column {column}: position {position} is padding "
            f"(attention_mask 0), but its weight is {weight}; a prediction there needs weight 0"
        )


def _check_shapes(batch: Batch) -> None:
    if batch.input_ids.ndim != 2 or batch.masked_lm_positions.ndim != 2:
        raise InputError("batch: input_ids must be (B, S) and masked_lm_positions (B, P)")
    sizes = {
        "S": batch.input_ids.shape,
        "P": (len(batch), batch.masked_lm_positions.shape[1]),
        "": (len(batch),),
    }
    for name, array in batch.items():
        axis, dtype = LAYOUT[name]
        if array.shape != sizes[axis]:
            raise InputError(f"batch: {name} has shape {array.shape}; {sizes[axis]} is needed")
        if array.dtype != dtype:
            raise InputError(f"batch: {name} has dtype {array.dtype}; {np.dtype(dtype)} is needed")


def _check_range(name: str, array: npt.NDArray[Any], limit: int, meaning: str) -> None:
    """0 <= value < limit, everywhere."""
    if not array.size or (array.min() >= 0 and array.max() < limit):
        return
    place = np.argwhere((array < 0) | (array >= limit))[0]
    where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
    value = array[tuple(place)]
    raise InputError(f"batch: {name}, {where}: {value} is not in 0 to {limit - 1} ({meaning})")
