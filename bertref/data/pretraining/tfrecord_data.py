"""The original's data files: batches to TFRecord files with its seven features, and back.

The features, in its order (`create_pretraining_data.py`, `write_instance_to_example_files`): input_ids, input_mask,
segment_ids of S numbers; masked_lm_positions, masked_lm_ids, masked_lm_weights of P; next_sentence_labels of one.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...rng import generator
from .batch import PretrainingBatch, zeros
from .example_proto import Values, decode, encode
from .tfrecord import CHECKSUM, HEADER_SIZE, Writer, check_data, index_of, open_records

FEATURES = {
    "input_ids": "input_ids",
    "input_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "masked_lm_positions": "masked_lm_positions",
    "masked_lm_ids": "masked_lm_ids",
    "masked_lm_weights": "masked_lm_weights",
    "next_sentence_labels": "next_sentence_label",
}
"""The original's name -> the batch's."""


def write_tfrecords(paths: Sequence[str | Path], batches: Iterable[PretrainingBatch]) -> int:
    """Writes every example of the batches to the files in turn, and returns their number.

    The files appear when all is written. Raises `InputError` if there is no example or the disk refuses.
    """
    with Writer(paths) as writer:
        for batch in batches:
            for row in range(len(batch)):
                writer.write(encode(dict(_features(batch, row))))
        if not writer.written:
            raise InputError(f"{writer.paths[0]}: nothing to write; there is no example")
    return writer.written


def _features(batch: PretrainingBatch, row: int) -> Iterator[tuple[str, Values]]:
    arrays = dict(batch.items())
    for name, field in FEATURES.items():
        array = arrays[field]
        kind = np.float32 if array.dtype == np.float32 else np.int64
        yield name, np.atleast_1d(array[row]).astype(kind)


class TFRecordData:
    """Batches from TFRecord files, addressed by their step as those of `PretrainingData`.

    paths  files with records of one S and one P, plain or in gzip
    seed   of the order, which is new in every pass over the records

    Record i of the whole is record i // F of file i % F, of F files: the order in which `write_tfrecords` wrote.
    Opening reads the lengths of all records; their content is read, and its checksum verified, as batches are made.
    Raises `InputError` for a missing, damaged or empty file, and for a record that lacks a feature or has another S
    or P.
    """

    def __init__(self, paths: Sequence[str | Path], *, seed: int = 0) -> None:
        self.paths = [Path(path) for path in paths]
        self.seed = seed
        if not self.paths:
            raise InputError("no TFRecord file given")
        indexes, self._contents = zip(*map(_mapped, self.paths), strict=True)
        number = np.concatenate([np.arange(len(index)) for index in indexes])
        file = np.repeat(np.arange(len(indexes)), [len(index) for index in indexes])
        in_turn = np.lexsort((file, number))
        self._files: npt.NDArray[np.int64] = file[in_turn]
        self._places: npt.NDArray[np.int64] = np.concatenate(indexes)[in_turn]
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None
        first = self._read(0)
        self.seq_len, self.max_predictions = len(first["input_ids"]), len(first["masked_lm_positions"])

    def __len__(self) -> int:
        """The number of records."""
        return len(self._files)

    @property
    def pass_counts(self) -> list[int]:
        """Empty: every pass has all records, so nothing has to be counted."""
        return []

    def batch(self, step: int, batch_size: int) -> PretrainingBatch:
        """Batch number `step`; `example` counts through all passes."""
        if step < 0 or batch_size < 1:
            raise InputError(f"batch {step} of {batch_size} examples: steps count from 0, batches from 1 example")
        numbers = range(step * batch_size, (step + 1) * batch_size)
        return self._assemble([self._record(number) for number in numbers], numbers)

    def in_order(self, batch_size: int) -> Iterator[PretrainingBatch]:
        """All records once, as they were written; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            numbers = range(start, min(start + batch_size, len(self)))
            yield self._assemble(numbers, numbers)

    def _record(self, number: int) -> int:
        """Which record example `number` of the run is."""
        pass_number, place = divmod(number, len(self))
        order = self._order
        if order is None or order[0] != pass_number:
            order = pass_number, generator(self.seed, "data_order", pass_number).permutation(len(self))
            self._order = order
        return int(order[1][place])

    def _assemble(self, records: Sequence[int], numbers: Sequence[int]) -> PretrainingBatch:
        batch = zeros(len(records), self.seq_len, self.max_predictions)
        arrays = dict(batch.items())
        batch.example[:] = numbers
        widths = {"S": self.seq_len, "P": self.max_predictions, "": 1}
        for row, record in enumerate(records):
            features = self._read(record)
            for name, field in FEATURES.items():
                values, width = features[name], widths[PretrainingBatch.LAYOUT[field][0]]
                if len(values) != width:
                    raise InputError(f"{self._where(record)}: {name} has {len(values)} values, not {width}")
                arrays[field][row] = values if arrays[field].ndim > 1 else values[0]
        return batch

    def _read(self, record: int) -> dict[str, Values]:
        file = int(self._files[record])
        start, length = self._places[record].tolist()
        content = bytes(self._contents[file][start : start + length + CHECKSUM.size])
        data = check_data(self.paths[file], content, start - HEADER_SIZE)
        features = decode(data, self._where(record))
        for name, field in FEATURES.items():
            expected = np.float32 if PretrainingBatch.LAYOUT[field][1] is np.float32 else np.int64
            if name not in features or features[name].dtype != expected:
                raise InputError(f"{self._where(record)}: no feature {name} of {np.dtype(expected)} numbers")
            if not np.array_equal(features[name].astype(PretrainingBatch.LAYOUT[field][1]), features[name]):
                raise InputError(f"{self._where(record)}: {name} holds a number that does not fit in 32 bits")
        return features

    def _where(self, record: int) -> str:
        return f"{self.paths[self._files[record]]}, record at offset {self._places[record][0] - HEADER_SIZE}"


def _mapped(path: Path) -> tuple[npt.NDArray[np.int64], mmap.mmap]:
    """The places of a file's records, and its content on the disk."""
    with open_records(path) as file:
        index = index_of(path, file)
        if not len(index):
            raise InputError(f"{path}: no record in it")
        return index, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
