"""The batch: what one training or evaluation step reads, as NumPy arrays on the host.

Letters: B examples, S tokens of a padded sequence, whose padding has attention_mask 0 and the padding id. The
names follow Hugging Face. A task's batch is a subclass that adds fields, a line of `LAYOUT` for each, and what is
checked of them: pre-training's is `data.pretraining.batch.PretrainingBatch`, the tasks' are in `data.tasks.batches`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..config import BertConfig
from ..errors import InputError

FieldTable = Mapping[str, tuple[str, npt.DTypeLike]]
"""Field -> the letters of its axes after B ("" where there are none) and its dtype, in the order of files."""

IGNORED_LABEL = -100
"""What Hugging Face writes where a position is not predicted."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """B examples, and what every task has of them.

    input_ids       (B,S) int32   ids
    attention_mask  (B,S) int32   1 = token, 0 = padding
    token_type_ids  (B,S) int32   0 = first segment, 1 = second
    example         (B,)  int64   the example's number in the run: the address of its random numbers
    """

    LAYOUT: ClassVar[FieldTable] = {
        "input_ids": ("S", np.int32),
        "attention_mask": ("S", np.int32),
        "token_type_ids": ("S", np.int32),
        "example": ("", np.int64),
    }

    PADDING: ClassVar[Mapping[str, int]] = {}
    """What stands in place of 0 where there is only padding, by field."""

    input_ids: npt.NDArray[np.int32]
    attention_mask: npt.NDArray[np.int32]
    token_type_ids: npt.NDArray[np.int32]
    example: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    def __getitem__(self, rows: Any) -> Self:
        """The examples of a slice, as views; or of an array of row numbers, as copies."""
        if isinstance(rows, int | np.integer):
            raise TypeError("a batch is indexed by a slice or by an array of rows; write batch[i : i + 1]")
        return type(self)(**{name: array[rows] for name, array in self.items()})

    def items(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(name, array) of every field, in the order of `LAYOUT`."""
        for name in self.LAYOUT:
            yield name, getattr(self, name)

    @classmethod
    def zeros(cls, examples: int, sizes: Mapping[str, int]) -> Self:
        """A batch of padding, to be filled in; `sizes` has the length of every axis by its letter."""
        return cls(**{
            name: np.full((examples, *(sizes[letter] for letter in axes)), cls.PADDING.get(name, 0), dtype)
            for name, (axes, dtype) in cls.LAYOUT.items()
        })  # fmt: skip

    def padded(self, sizes: Mapping[str, int]) -> Self:
        """The same examples with axes of these lengths, so that every step has arrays of one shape. An axis that
        `sizes` doesn't name stays as it is.

        Raises `InputError` if the batch is wider than that: padding never cuts anything off.
        """
        arrays = {}
        for name, array in self.items():
            widths = [(0, 0)]
            for letter, length in zip(self.LAYOUT[name][0], array.shape[1:], strict=True):
                wanted = sizes.get(letter, length)
                if length > wanted:
                    raise InputError(f"batch: {name} has {length} columns; it can't be padded to {wanted}")
                widths.append((0, wanted - length))
            arrays[name] = np.pad(array, widths, constant_values=self.PADDING.get(name, 0))
        return type(self)(**arrays)

    def validate(self, config: BertConfig) -> None:
        """Raises `InputError`, naming row, column, value and limit, if a model of `config` can't read the batch.

        Ops gather and scatter without looking; so whatever comes from outside is checked here, once, on the host.
        """
        self._check_shapes()
        seq_len = self.input_ids.shape[-1]
        if seq_len > config.max_length:
            raise InputError(
                f"batch: sequences of {seq_len} tokens; the model has max_position_embeddings = "
                f"{config.max_position_embeddings}; make them shorter"
            )
        check_range("input_ids", self.input_ids, config.vocab_size, "vocab_size")
        check_range("attention_mask", self.attention_mask, 2, "1 = token, 0 = padding")
        if config.type_vocab_size:  # else they are not looked at
            check_range("token_type_ids", self.token_type_ids, config.type_vocab_size, "type_vocab_size")

    def _check_shapes(self) -> None:
        """The first field with an axis says how long it has to be in all others."""
        sizes: dict[str, int] = {}
        for name, array in self.items():
            axes, dtype = self.LAYOUT[name]
            if array.ndim != 1 + len(axes):
                raise InputError(f"batch: {name} must be ({', '.join(('B', *axes))}), not {array.shape}")
            for letter, length in zip(("B", *axes), array.shape, strict=True):
                sizes.setdefault(letter, length)
            wanted = tuple(sizes[letter] for letter in ("B", *axes))
            if array.shape != wanted:
                raise InputError(f"batch: {name} has shape {array.shape}; {wanted} is needed")
            if array.dtype != dtype:
                raise InputError(f"batch: {name} has dtype {array.dtype}; {np.dtype(dtype)} is needed")


def check_range(name: str, array: npt.NDArray[Any], limit: int, meaning: str) -> None:
    """0 <= value < limit, everywhere; else an `InputError` that names the place."""
    if not array.size or (array.min() >= 0 and array.max() < limit):
        return
    place = np.argwhere((array < 0) | (array >= limit))[0]
    value = array[tuple(place)]
    raise InputError(f"batch: {name}, {where(place)}: {value} is not in 0 to {limit - 1} ({meaning})")


def where(place: npt.NDArray[Any]) -> str:
    """Indices in an array as an error names them; a sequence of an example that has several is its choice."""
    words = {1: ("row",), 2: ("row", "column"), 3: ("row", "choice", "column")}[len(place)]
    return ", ".join(f"{word} {index}" for word, index in zip(words, place, strict=True))
