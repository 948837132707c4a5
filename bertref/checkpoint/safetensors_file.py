"""safetensors files, checked before a byte of data is read.

    8 bytes     length of the header, little-endian
    header      JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}, and "__metadata__": texts by name
    data        the tensors end to end, row-major, little-endian; offsets count from here

The data belongs to the tensors byte for byte: ranges that overlap, leave a hole or end before the file are refused.
Source: https://github.com/huggingface/safetensors, section "Format".
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import CheckpointError
from .raw import bytes_of, checked_shape, decode, existing_file, hint, read_range, shown
from .source import StoredTensor
from .strict_json import LONGEST, parse_object

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
"""The format's name -> `Entry.dtype`. What is missing (8-bit and smaller floats, complex numbers) is in no BERT."""
METADATA = "__metadata__"
FIELDS = {"dtype", "shape", "data_offsets"}
_LENGTH = struct.Struct("<Q")


class SafetensorsSource:
    """A safetensors file as a `Source`; `metadata` is the header's.

    Raises `CheckpointError` if the file is missing, truncated, or its header and data don't fit each other.
    """

    format = "safetensors"
    notes: tuple[str, ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        header, self._start, length = _header(self.path)
        try:
            self.metadata = _metadata(header.pop(METADATA, {}))
        except ValueError as error:
            raise CheckpointError(f"{self.path}: the safetensors header's {METADATA} {error}") from None
        self._entries: dict[str, StoredTensor] = {}
        self._ranges: dict[str, tuple[int, int]] = {}
        for name, value in header.items():
            try:
                shape, dtype, self._ranges[name] = _tensor(value)
            except ValueError as error:
                raise CheckpointError(f"{self.path}: tensor {shown(name)}: {error}") from None
            self._entries[name] = StoredTensor(shape, dtype, self.path)
        _check_tiling(self._ranges, length - self._start, self.path)

    @property
    def entries(self) -> Mapping[str, StoredTensor]:
        """Name -> entry, in the header's order."""
        return self._entries

    @property
    def distinct_bytes(self) -> int:
        """Bytes of all tensors; no two share any."""
        return sum(end - begin for begin, end in self._ranges.values())

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor, a fresh array. Raises `CheckpointError` if the file has no such tensor or is no longer whole."""
        if name not in self._entries:
            raise CheckpointError(f"{self.path}: holds no tensor {shown(name)}")
        entry, (begin, end) = self._entries[name], self._ranges[name]
        data = read_range(self.path, self._start + begin, end - begin, f"tensor {shown(name)}")
        try:
            return decode(data, entry.dtype).reshape(entry.shape)
        except ValueError as error:
            raise CheckpointError(f"{self.path}: tensor {shown(name)}: {error}") from None


def _header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header; where the data begins; the length of the file."""
    length = existing_file(path)
    if length < _LENGTH.size:
        raise CheckpointError(f"{path}: has {length} bytes, too few for a safetensors file; fetch it again")
    prefix = read_range(path, 0, min(length, 64), "the beginning").tobytes()
    (size,) = _LENGTH.unpack_from(prefix)
    start = _LENGTH.size + size
    if start > length:
        raise CheckpointError(
            f"{path}: is truncated or no safetensors file: it announces a header of {size} bytes and "
            f"has {length} in all{hint(prefix) or '; fetch it again'}"
        )
    if size > LONGEST:
        raise CheckpointError(f"{path}: the safetensors header has {size} bytes; at most {LONGEST} are read")
    data = read_range(path, _LENGTH.size, size, "the safetensors header").tobytes()
    if not data.startswith(b"{"):
        raise CheckpointError(f"{path}: is no safetensors file: its header is no JSON object")
    try:
        return parse_object(data), start, length
    except ValueError as error:
        raise CheckpointError(f"{path}: the safetensors header {error}") from None


def _metadata(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"is {shown(value)}, not an object")
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"has {shown(text)} under {shown(name)}, not a text")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ValueError(f"has no valid text under {shown(name)}")
    return value


def _tensor(value: object) -> tuple[tuple[int, ...], str, tuple[int, int]]:
    """Shape, dtype and range of one entry; `ValueError` saying what is wrong with it."""
    if not isinstance(value, dict) or set(value) != FIELDS:
        raise ValueError(f"its entry must have {', '.join(sorted(FIELDS))} and nothing else")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"dtype {shown(dtype)} is not supported; {', '.join(DTYPES)} are")
    shape = checked_shape(value["shape"])
    offsets = value["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(n) is not int or n < 0 for n in offsets):
        raise ValueError("its data_offsets are not two whole numbers from 0")
    begin, end = offsets
    size = bytes_of(shape, DTYPES[dtype])
    if end - begin != size:
        raise ValueError(
            f"{dtype} of shape {list(shape)} takes {size} bytes, but its data_offsets are "
            f"{shown(begin)} to {shown(end)}"
        )
    return shape, DTYPES[dtype], (begin, end)


def _check_tiling(ranges: Mapping[str, tuple[int, int]], size: int, path: Path) -> None:
    """The ranges must cover the data once: no overlap, no hole, nothing behind either's end."""
    at = 0
    before: str | None = None
    for name, (begin, end) in sorted(ranges.items(), key=lambda item: item[1]):
        if end > size:
            raise CheckpointError(
                f"{path}: tensor {shown(name)} ends at byte {shown(end)} of the data, which has {size}; "
                "the file is truncated or damaged: fetch it again"
            )
        if begin < at:
            raise CheckpointError(f"{path}: tensors {shown(before)} and {shown(name)} overlap at byte {begin}")
        if begin > at:
            raise CheckpointError(f"{path}: bytes {at} to {begin}, before tensor {shown(name)}, belong to no tensor")
        at, before = end, name
    if at != size:
        raise CheckpointError(f"{path}: {size - at} bytes follow the last tensor and belong to none")
