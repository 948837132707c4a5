"""Checkpoints byte by byte, as no writer would make them: messages are encoded here, and only the table around them,
which gives every block its right checksum, is `sstable.build`'s."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertref.checkpoint.tensorflow import sstable
from bertref.plumbing.crc32c import masked_crc32c

Items = list[tuple[bytes, bytes]]

ONE_RESTART = struct.pack("<II", 0, 1)
FLOAT, STRING, BOOL, HALF = 1, 7, 10, 19


def varint(number: int) -> bytes:
    number %= 2**64
    return bytes((number,)) if number < 128 else bytes((number % 128 + 128,)) + varint(number // 128)


def whole(field: int, number: int) -> bytes:
    """A field with a whole number, written even if it is zero."""
    return varint(8 * field) + varint(number)


def message(field: int, content: bytes) -> bytes:
    return varint(8 * field + 2) + varint(len(content)) + content


def header(shards: int = 1, *, more: bytes = b"", version: bytes = whole(1, 1)) -> bytes:
    return whole(1, shards) + more + message(3, version)


def shape(sizes: Iterable[int]) -> bytes:
    return b"".join(message(2, whole(1, size)) for size in sizes)


def extents(pairs: Iterable[tuple[int, int]]) -> bytes:
    """A slice; a length of -1 is left out."""
    return b"".join(message(1, whole(1, start) + (whole(2, n) if n != -1 else b"")) for start, n in pairs)


def entry(
    sizes: Iterable[int] = (2,), *, dtype: int = FLOAT, shard: int = 0, offset: int = 0, size: int = 8,
    data: bytes = bytes(8), slices: Iterable[Iterable[tuple[int, int]]] = (), more: bytes = b"",
) -> bytes:  # fmt: skip
    """A tensor of two float32 zeros at the start of the data, but for what is named."""
    place = whole(3, shard) + whole(4, offset) + whole(5, size)
    checksum = varint(8 * 6 + 5) + struct.pack("<I", masked_crc32c(data))
    listed = b"".join(message(7, extents(one)) for one in slices)
    return whole(1, dtype) + message(2, shape(sizes)) + place + checksum + listed + more


def sliced(sizes: Iterable[int], slices: Iterable[Iterable[tuple[int, int]]], **named: Any) -> bytes:
    """A tensor that is stored in slices."""
    return entry(sizes, slices=slices, **{"size": 0, **named})


def write(folder: Path, items: Items, data: Mapping[int, bytes] | None = None, shards: int = 1) -> Path:
    """A checkpoint with these keys (in this order) and values; returns its prefix."""
    return write_raw(folder, sstable.build(items), data, shards)


def write_raw(folder: Path, index: bytes, data: Mapping[int, bytes] | None = None, shards: int = 1) -> Path:
    prefix = folder / "x.ckpt"
    (folder / "x.ckpt.index").write_bytes(index)
    for shard, content in ({0: bytes(64)} if data is None else data).items():
        (folder / f"x.ckpt.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
    return prefix


def block(entries: Iterable[bytes], *, kind: int = 0, restarts: bytes = ONE_RESTART) -> bytes:
    """A block of entries as they stand in the file, with its trailer."""
    content = b"".join(entries) + restarts + bytes((kind,))
    return content + struct.pack("<I", masked_crc32c(content))


def table_entry(shared: int, key: bytes, value: bytes) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def table(blocks: Iterable[tuple[bytes, bytes]], *, index_kind: int = 0) -> bytes:
    """A table of data blocks, each with the key that the index block gives it."""
    out = b""
    handles = []
    for content, separator in blocks:
        handles.append(table_entry(0, separator, varint(len(out)) + varint(len(content) - 5)))
        out += content
    return finish(out, handles, index_kind)


def finish(out: bytes, handles: Iterable[bytes], index_kind: int = 0, restarts: bytes = ONE_RESTART) -> bytes:
    """Adds metaindex, index block and footer."""
    meta = block([])
    index = block(handles, kind=index_kind, restarts=restarts)
    footer = varint(len(out)) + varint(len(meta) - 5) + varint(len(out) + len(meta)) + varint(len(index) - 5)
    return out + meta + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
