"""Reads a checkpoint. Everything that the index says is checked when it is opened, and against the data files before
memory is taken, so that a damaged or hostile checkpoint is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import CheckpointError
from ...plumbing.crc32c import masked_crc32c
from ..raw import widened
from ..source import StoredTensor
from . import bundle, slices, sstable
from .bundle import BundleEntry
from .prefix import data_of, index_of

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""A string that only TensorFlow 2 writes: which attribute of which Python object each variable was."""

SlicePiece = tuple[tuple[slice, ...], BundleEntry]
"""Where in its tensor a slice belongs, and where it lies."""


@dataclass(frozen=True)
class _Tensor:
    """What the index says of a tensor; `pieces` only if it is stored in slices."""

    entry: BundleEntry
    pieces: tuple[SlicePiece, ...]

    @property
    def parts(self) -> list[BundleEntry]:
        """What lies in data files."""
        return [entry for _, entry in self.pieces] if self.entry.slices else [self.entry]


class TensorFlowSource:
    """A checkpoint by its prefix (`bert_model.ckpt`), as a `Source`; opening reads its index only.

    `entries` lists strings and other values that are no numbers, too, under TensorFlow's names of their dtypes; `read`
    refuses them. Partitioned variables are put together. Raises `CheckpointError` for an index that is missing,
    damaged, inconsistent, compressed or big-endian.
    """

    format = "tensorflow"
    notes: tuple[str, ...] = ()

    def __init__(self, prefix: Path) -> None:
        self.path = prefix
        self._index = index_of(prefix)
        self._shards, self._tensors = _read_index(self._index)
        self._entries = {
            name: StoredTensor(tensor.entry.shape, tensor.entry.dtype_name, self._file(tensor.parts[0].shard_id))
            for name, tensor in self._tensors.items()
        }

    @property
    def entries(self) -> Mapping[str, StoredTensor]:
        """Name -> entry, in the index's order, which is that of the names' bytes."""
        return self._entries

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor, its checksums verified; bfloat16 widened to float32. Raises `CheckpointError`."""
        if name not in self._tensors:
            raise CheckpointError(f"{self.path}: holds no tensor {name[:80]!r}")
        tensor = self._tensors[name]
        if tensor.entry.dtype not in bundle.DTYPES:
            raise self._fault(name, f"holds {tensor.entry.dtype_name} values, which are not read")
        for part in tensor.parts:  # no memory is taken for what isn't there
            self._check_room(name, part)
        if not tensor.entry.slices:
            return self._read_part(name, tensor.entry)
        whole = np.empty(tensor.entry.shape, _in_memory(tensor.entry.dtype_name))
        seen = np.zeros(tensor.entry.shape, np.bool_)
        for window, part in tensor.pieces:
            if seen[window].any():
                raise self._fault(name, "has slices that overlap")
            seen[window] = True
            whole[window] = self._read_part(name, part)
        return whole

    def _file(self, shard: int) -> Path:
        return data_of(self.path, shard, self._shards)

    def _fault(self, name: str, reason: str) -> CheckpointError:
        return CheckpointError(f"{self._index}: tensor {name[:80]!r} {reason}")

    def _check_room(self, name: str, part: BundleEntry) -> None:
        file = self._file(part.shard_id)
        try:
            if not file.is_file():
                raise CheckpointError(
                    f"{file}: no such file; the data of {name[:80]!r} lie in it: put it beside {self._index.name}"
                )
            size = file.stat().st_size
        except OSError as error:
            raise CheckpointError(f"{file}: can't be read: {error.strerror or error}") from None
        if part.offset + part.size > size:
            raise CheckpointError(
                f"{file}: cut off, or of another checkpoint than the index: tensor {name[:80]!r} ends at byte "
                f"{part.offset + part.size}, and the file has {size}"
            )

    def _read_part(self, name: str, part: BundleEntry) -> npt.NDArray[Any]:
        file = self._file(part.shard_id)
        content = np.empty(part.size, np.uint8)
        try:
            with open(file, "rb") as opened:
                opened.seek(part.offset)
                opened.readinto(content.data)  # if the file has shrunk meanwhile, the checksum is wrong
        except OSError as error:
            raise CheckpointError(f"{file}: can't be read: {error.strerror or error}") from None
        if masked_crc32c(content.data) != part.crc32c:
            raise CheckpointError(f"{file}: tensor {name[:80]!r} does not have its checksum; the file is damaged")
        if part.dtype_name == "bool" and content.size and content.max() > 1:
            raise CheckpointError(f"{file}: tensor {name[:80]!r} holds a truth value that is neither 0 nor 1")
        return _from_bytes(content, part.dtype_name).reshape(part.shape)


def _in_memory(dtype: str) -> np.dtype[Any]:
    return np.dtype("float32" if dtype == "bfloat16" else dtype)


def _from_bytes(content: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    """Little-endian bytes -> values."""
    if dtype == "bfloat16":  # the upper half of a float32
        return widened(content.view("<u2"))
    stored = content.view(np.dtype(dtype).newbyteorder("<"))
    return stored.astype(_in_memory(dtype), copy=False)


# ---------------------------------------------------------------------------------------------------------------------


def _read_index(path: Path) -> tuple[int, dict[str, _Tensor]]:
    """(number of data files, tensors by name), all of it consistent."""
    table = sstable.read(path)
    if b"" not in table:
        raise CheckpointError(f"{path}: damaged, or no index of a TensorFlow checkpoint: it has no header")
    try:
        shards = bundle.parse_header(table.pop(b""))
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: the header {_reason(error)}") from None
    entries: dict[bytes, BundleEntry] = {}
    for key, value in table.items():
        try:
            entries[key] = entry = bundle.parse_entry(value)
            _check_entry(entry, shards)
        except (ValueError, IndexError) as error:
            raise CheckpointError(f"{path}: {_shown(key)} {_reason(error)}") from None
    _check_overlap(path, entries)
    return shards, _assemble(path, entries)


def _check_entry(entry: BundleEntry, shards: int) -> None:
    if entry.shard_id >= shards:
        raise ValueError(f"lies in data file {entry.shard_id}, and there are {shards}")
    if entry.slices:
        if entry.size or entry.offset:
            raise ValueError("has slices and a place of its own")
    elif entry.dtype in bundle.DTYPES and entry.size != entry.elements * bundle.item_size(entry.dtype_name):
        raise ValueError(f"has {entry.size} bytes, which is not what {entry.dtype_name} of shape {entry.shape} takes")


def _check_overlap(path: Path, entries: Mapping[bytes, BundleEntry]) -> None:
    """No byte of a data file belongs to two tensors: a small file could stand for a lot of memory otherwise."""
    placed = sorted((entry.shard_id, entry.offset, entry.size, key) for key, entry in entries.items() if entry.size)
    for (shard, offset, size, key), (next_shard, next_offset, _, other) in pairwise(placed):
        if shard == next_shard and offset + size > next_offset:
            raise CheckpointError(f"{path}: {_shown(key)} and {_shown(other)} overlap in their data file")


def _assemble(path: Path, entries: dict[bytes, BundleEntry]) -> dict[str, _Tensor]:
    """The tensors, each with its slices; every slice belongs to one tensor."""
    parts = {key: entry for key, entry in entries.items() if key.startswith(slices.PREFIX)}
    tensors = {}
    for key, entry in entries.items():
        if key not in parts:
            try:
                name = key.decode("utf-8")
                tensors[name] = _Tensor(entry, _pieces(name, entry, parts))
            except ValueError as error:
                raise CheckpointError(f"{path}: {_shown(key)} {_reason(error)}") from None
    used = {id(part) for tensor in tensors.values() for _, part in tensor.pieces}
    stray = next((key for key, part in parts.items() if id(part) not in used), None)
    if stray is not None:
        raise CheckpointError(f"{path}: {_shown(stray)} is a slice that belongs to no tensor")
    return tensors


def _pieces(name: str, entry: BundleEntry, parts: Mapping[bytes, BundleEntry]) -> tuple[SlicePiece, ...]:
    """The slices of a tensor. That none overlap, and so that none is missing, is seen when they are read."""
    found: list[SlicePiece] = []
    elements = 0
    for extents in entry.slices:
        window = slices.window(extents, entry.shape)
        part = parts.get(slices.slice_key(name, extents))
        if part is None:
            raise ValueError(f"lists a slice {extents} that is not in the index")
        shape = tuple(axis.stop - axis.start for axis in window)
        if part.slices or part.dtype != entry.dtype or part.shape != shape:
            raise ValueError(
                f"is {entry.dtype_name}, and its slice {extents} is {part.dtype_name} of shape {part.shape}"
            )
        elements += part.elements
        found.append((window, part))
    if entry.slices and elements != entry.elements:
        raise ValueError(f"has {entry.elements} elements, and its slices have {elements}")
    return tuple(found)


def _shown(key: bytes) -> str:
    kind = "slice" if key.startswith(slices.PREFIX) else "tensor"
    return f"{kind} {key[:80].decode('utf-8', 'backslashreplace')!r}"


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "has a name that is not UTF-8"
    return str(error) if isinstance(error, ValueError) else "is cut off"
