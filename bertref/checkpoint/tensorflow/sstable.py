"""Sorted string tables: the file format of a checkpoint's index, as LevelDB has it.

    data block ..., metaindex block (empty), index block, footer
    block    entries, offset of each restart as uint32, their number as uint32; then a byte that says how the block
             is compressed (0: not) and the masked CRC-32C of all that as uint32
    entry    varints: bytes shared with the key before, bytes of the key that follow, bytes of the value; then those
    footer   handles (varints: offset, size) of the metaindex and the index block, zeros up to 40 bytes, magic uint64

The index block has an entry a data block: a key not before the block's last one and before the next block's first
one, and the block's handle. At a restart nothing is shared, so that a reader can start there. Numbers are
little-endian. Source: LevelDB, `doc/table_format.md`; TensorFlow, `lib/io/table_builder.cc`.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import CheckpointError
from ...plumbing.crc32c import masked_crc32c
from ...plumbing.protobuf import read_varint, varint

MAGIC = struct.Struct("<Q")
NUMBER = struct.Struct("<I")
MAGIC_NUMBER = 0xDB4775248B80FB57
FOOTER_SIZE = 48
TRAILER_SIZE = 5
SNAPPY = 1
BLOCK_SIZE = 2**18
RESTART_INTERVAL = 16
KEY_BYTES = 64
"""Bytes of keys allowed for a byte of the file. A writer starts afresh every 16 keys, so real tables stay below 16."""


def read(path: Path) -> dict[bytes, bytes]:
    """The table's keys, which rise, and values; every byte of the file is checked but what lies between blocks.

    Raises `CheckpointError` if the file is missing, damaged, cut off, compressed or no table; what it takes in
    memory is bounded by a multiple of the file's size.
    """
    data = _load(path)
    try:
        return _parse(data)
    except (ValueError, IndexError, struct.error) as error:
        reason = str(error) if isinstance(error, ValueError) else "a number is cut off"
        raise CheckpointError(f"{path}: damaged, or no index of a TensorFlow checkpoint: {reason}") from None


def _load(path: Path) -> bytes:
    """The file's bytes, once its footer says that it is a table: a wrong file may be large."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; a TensorFlow checkpoint is named by its prefix or its .index")
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAGIC.size))
            if size < FOOTER_SIZE or file.read() != MAGIC.pack(MAGIC_NUMBER):
                raise CheckpointError(
                    f"{path}: cut off, or no index of a TensorFlow checkpoint: the magic number at its end is missing"
                )
            file.seek(0)
            return file.read(size)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read: {error.strerror or error}") from None


def _parse(data: bytes) -> dict[bytes, bytes]:
    limit = len(data) - FOOTER_SIZE
    metaindex, index = _footer(data)
    if next(_entries(_block(data, metaindex, limit)), None):
        raise ValueError("a metaindex, which no checkpoint has")
    table: dict[bytes, bytes] = {}
    last, end, key_bytes = b"", 0, 0
    for separator, value in _entries(_block(data, index, limit)):
        handle, parsed = _handle(value, 0)
        if parsed != len(value) or handle[0] < end:
            raise ValueError("its blocks are out of order or overlap")
        end = sum(handle)
        for key, content in _entries(_block(data, handle, limit)):
            if table and key <= last:
                raise ValueError(f"the key {key[:80]!r} occurs twice or out of order")
            key_bytes += len(key)
            if key_bytes > KEY_BYTES * len(data):
                raise ValueError("its keys would take more memory than a table of this size can have")
            table[key] = content
            last = key
        if separator < last:
            raise ValueError(f"the key {last[:80]!r} lies behind the key that the index block gives its block")
        last = separator
    return table


def _footer(data: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """The handles of the metaindex and of the index block."""
    metaindex, at = _handle(data, len(data) - FOOTER_SIZE)
    index, at = _handle(data, at)
    if data[at : -MAGIC.size].strip(b"\0"):  # two handles always fit: four varints of ten bytes at most
        raise ValueError("the footer holds more than two handles")
    return metaindex, index


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """((offset, size), where it ends)."""
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int], limit: int) -> bytes:
    """A block's content, checked. `limit` is where the footer starts."""
    offset, size = handle
    end = offset + size
    if end + TRAILER_SIZE > limit:
        raise ValueError(f"a block of {size} bytes at {offset} does not fit in the file")
    if masked_crc32c(memoryview(data)[offset : end + 1]) != NUMBER.unpack_from(data, end + 1)[0]:
        raise ValueError(f"the block at {offset} does not have its checksum")
    if data[end] != 0:
        kind = "by snappy" if data[end] == SNAPPY else f"in the unknown way {data[end]}"
        raise ValueError(f"the block at {offset} is compressed {kind}, which is not read; save it again uncompressed")
    return data[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of a block's entries."""
    if len(block) < NUMBER.size:
        raise ValueError("a block is too short")
    end = len(block) - NUMBER.size * (1 + NUMBER.unpack_from(block, len(block) - NUMBER.size)[0])
    if end < 0:
        raise ValueError("a block has more restarts than bytes")
    key, at = b"", 0
    while at < end:
        shared, at = read_varint(block, at)
        fresh, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or at + fresh + length > end:
            raise ValueError("an entry reaches beyond its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


# ---------------------------------------------------------------------------------------------------------------------


def build(items: Iterable[tuple[bytes, bytes]], block_size: int = BLOCK_SIZE) -> bytes:
    """The bytes of a table with these keys, which must rise, and values; the same bytes as TensorFlow's."""
    out, index, block = bytearray(), _Block(1), _Block(RESTART_INTERVAL)
    for key, value in items:
        if block.entries and block.size() >= block_size:
            index.add(_separator(block.last, key), block.append_to(out))
            block = _Block(RESTART_INTERVAL)
        block.add(key, value)
    if block.entries:
        index.add(_successor(block.last), block.append_to(out))
    footer = _Block(RESTART_INTERVAL).append_to(out) + index.append_to(out)
    return bytes(out) + footer.ljust(FOOTER_SIZE - MAGIC.size, b"\0") + MAGIC.pack(MAGIC_NUMBER)


class _Block:
    """A block in the making; at every `interval`-th entry it starts afresh."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._content = bytearray()
        self._restarts = [0]  # LevelDB counts one in an empty block, too
        self.entries = 0
        self.last = b""

    def add(self, key: bytes, value: bytes) -> None:
        shared = _shared(self.last, key)
        if self.entries and self.entries % self._interval == 0:
            self._restarts.append(len(self._content))
            shared = 0
        self._content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self.entries += 1
        self.last = key

    def size(self) -> int:
        return len(self._content) + NUMBER.size * (len(self._restarts) + 1)

    def append_to(self, out: bytearray) -> bytes:
        """Adds the block to a file; returns its handle."""
        content = bytes(self._content) + b"".join(map(NUMBER.pack, [*self._restarts, len(self._restarts)]))
        handle = varint(len(out)) + varint(len(content))
        out += content + b"\0" + NUMBER.pack(masked_crc32c(content + b"\0"))
        return handle


def _separator(last: bytes, following: bytes) -> bytes:
    """A short key not before `last` and before `following`."""
    start = _shared(last, following)
    if start < len(last) and last[start] + 1 < following[start]:
        return last[:start] + bytes((last[start] + 1,))
    return last


def _successor(last: bytes) -> bytes:
    """A short key not before `last`."""
    start = len(last) - len(last.lstrip(b"\xff"))
    return last[:start] + bytes((last[start] + 1,)) if start < len(last) else last


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes two keys begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
