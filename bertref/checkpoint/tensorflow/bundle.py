"""The values of a checkpoint's index: what the file holds as a whole, and each tensor's shape and place.

    BundleHeaderProto  { num_shards: 1, endianness: 2 (0: little), version: 3 VersionDef }      under the key ""
    VersionDef         { producer: 1, min_consumer: 2, bad_consumers: 3 repeated }
    BundleEntryProto   { dtype: 1, shape: 2, shard_id: 3, offset: 4, size: 5, crc32c: 6 fixed32,
                         slices: 7 repeated TensorSliceProto }
    TensorShapeProto   { dim: 2 repeated { size: 1, name: 2 }, unknown_rank: 3 }
    TensorSliceProto   { extent: 1 repeated { start: 1, length: 2 } }

A number that is 0 is left out. Whole numbers are int64. Source: TensorFlow, `core/protobuf/tensor_bundle.proto`,
`core/framework/{tensor_shape,tensor_slice,versions,types}.proto`.
"""

import math
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...plumbing.protobuf import BYTES, FOUR_BYTES, VARINT, field, fields, read_varint, varint

VERSION = 1
"""Of the format. A file says which version wrote it and which one it takes to read it."""

WHOLE = -1
"""The length of a slice's extent that takes the whole axis."""

MOST_AXES = 64
"""NumPy's limit."""

CRC = struct.Struct("<I")

DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
"""What is read: number in the file -> NumPy's name, or bfloat16."""

UNREAD_DTYPES = {
    7: "string", 11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16", 20: "resource", 21: "variant",
    24: "float8_e5m2", 25: "float8_e4m3fn", 26: "float8_e4m3fnuz", 27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz",
    29: "int4", 30: "uint4", 31: "int2", 32: "uint2", 33: "float4_e2m1fn",
}  # fmt: skip
"""What is listed only: TensorFlow's names."""

Slice = tuple[tuple[int, int], ...]
"""(start, length) an axis; (0, WHOLE) is all of it."""


@dataclass(frozen=True)
class BundleEntry:
    """A tensor, or a slice of one, in a data file; one that is stored in slices has no place of its own.

    crc32c      masked, of the bytes
    """

    dtype: int
    shape: tuple[int, ...]
    shard_id: int = 0
    offset: int = 0
    size: int = 0
    crc32c: int = 0
    slices: tuple[Slice, ...] = ()

    @property
    def dtype_name(self) -> str:
        return DTYPES.get(self.dtype) or UNREAD_DTYPES[self.dtype]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def item_size(dtype: str) -> int:
    """Bytes of an element of a dtype that is read."""
    return 1 if dtype == "bool" else int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz")) // 8


def parse_header(data: bytes) -> int:
    """The number of data files. Raises `ValueError` for what can't be read: big-endian, or of a later version."""
    numbers, messages = _split(data, numbers={1, 2}, messages={3})
    if numbers.get(2, 0) != 0:
        raise ValueError("written big-endian on another kind of machine; only little-endian checkpoints are read")
    version, bad = _split(b"".join(messages.get(3, [])), numbers={1, 2}, messages={3}, several={3})
    consumer = version.get(2, 0)
    if consumer > VERSION or bad:
        raise ValueError(f"needs a reader of version {consumer} of the format; this one knows version {VERSION}")
    shards = numbers.get(1, 0)
    if not 0 < shards < 2**31:
        raise ValueError(f"says that there are {shards} data files")
    return shards


def parse_entry(data: bytes) -> BundleEntry:
    """Raises `ValueError` or `IndexError` if it is none, or one whose dtype or shape does not exist."""
    numbers, messages = _split(data, numbers={1, 3, 4, 5}, messages={2, 7}, fixed={6}, several={7})
    dtype = numbers.get(1, 0)
    if dtype not in DTYPES and dtype not in UNREAD_DTYPES:
        raise ValueError(f"has the unknown dtype {dtype}")
    shape = _parse_shape(messages.get(2, [b""])[0])
    slices = tuple(_parse_slice(content) for content in messages.get(7, []))
    shard, offset, size = (numbers.get(number, 0) for number in (3, 4, 5))
    if min(shard, offset, size) < 0 or offset + size >= 2**63:
        raise ValueError(f"lies in data file {shard} at {offset} with {size} bytes, which can't be")
    return BundleEntry(dtype, shape, shard, offset, size, numbers.get(6, 0), slices)


def _parse_shape(data: bytes) -> tuple[int, ...]:
    numbers, messages = _split(data, numbers={3}, messages={2}, several={2})
    axes = messages.get(2, [])
    if numbers.get(3, 0):
        raise ValueError("has no shape")
    if len(axes) > MOST_AXES:
        raise ValueError(f"has {len(axes)} axes; at most {MOST_AXES} can be held")
    shape = tuple(_split(axis, numbers={1}, messages={2})[0].get(1, 0) for axis in axes)
    if min(shape, default=0) < 0 or math.prod(size for size in shape if size) >= 2**59:  # times 16 bytes: 2**63
        raise ValueError(f"has the shape {shape}, which can't be")
    return shape


def _parse_slice(data: bytes) -> Slice:
    _, messages = _split(data, messages={1}, several={1})
    if len(messages.get(1, [])) > MOST_AXES:
        raise ValueError(f"has a slice of more than {MOST_AXES} axes")
    extents = (_split(extent, numbers={1, 2})[0] for extent in messages.get(1, []))
    return tuple((extent.get(1, 0), extent.get(2, WHOLE)) for extent in extents)


def _split(
    data: bytes, *, numbers: Collection[int] = (), messages: Collection[int] = (), fixed: Collection[int] = (),
    several: Collection[int] = (),
) -> tuple[dict[int, int], dict[int, list[bytes]]]:  # fmt: skip
    """The fields that are numbers, and the contents of those that are messages or strings.

    A field that is not expected, of another kind, or repeated without being among `several` is refused.
    """
    found: dict[int, int] = {}
    contents: dict[int, list[bytes]] = {}
    for number, kind, content in fields(data):
        if number in messages and kind == BYTES:
            contents.setdefault(number, []).append(content)
            repeated = len(contents[number]) > 1 and number not in several
        elif (kind == VARINT and number in numbers) or (kind == FOUR_BYTES and number in fixed):
            repeated = number in found
            found[number] = _signed(content) if kind == VARINT else CRC.unpack(content)[0]
        else:
            raise ValueError(f"holds the unknown field {number} (kind {kind})")
        if repeated:
            raise ValueError(f"holds the field {number} twice")
    return found, contents


def _signed(content: bytes) -> int:
    number, _ = read_varint(content, 0)
    return number - 2**64 if number >> 63 else number


# ---------------------------------------------------------------------------------------------------------------------


def header() -> bytes:
    """Of a checkpoint with one data file."""
    return _numbers({1: 1}) + field(3, _numbers({1: VERSION}))


def encode_entry(entry: BundleEntry) -> bytes:
    """The bytes of an entry, as TensorFlow writes them; for one that is stored whole."""
    shape = b"".join(field(2, _numbers({1: size})) for size in entry.shape)
    place = _numbers({3: entry.shard_id, 4: entry.offset, 5: entry.size})
    checksum = bytes((8 * 6 + FOUR_BYTES,)) + CRC.pack(entry.crc32c) if entry.crc32c else b""
    return _numbers({1: entry.dtype}) + field(2, shape) + place + checksum


def _numbers(values: Mapping[int, int]) -> bytes:
    """Fields of numbers; zeros are left out."""
    return b"".join(bytes((8 * number + VARINT,)) + varint(value) for number, value in values.items() if value)
