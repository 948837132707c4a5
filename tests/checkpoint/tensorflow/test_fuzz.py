"""Thousands of damaged checkpoints: each is refused by a `CheckpointError`, or what is read of it is right.

Some are damaged as a disk does it: then no value may ever be another than what was stored, and if a byte of the data
was changed some tensor is refused, since every byte is under a checksum. Others are damaged by one who also puts
the checksums right: then the values can't be known, but nothing else may be raised and memory has a bound.
"""

import random
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from bertref.checkpoint.tensorflow import TensorFlowSource, sstable
from bertref.checkpoint.tensorflow.slices import slice_key
from bertref.errors import CheckpointError
from bertref.plumbing.crc32c import masked_crc32c

from . import forge
from .forge import BOOL, STRING, Items, entry, header, sliced, varint

SHARDS = 2
BLOCK_SIZE = 150  # so that there are several blocks


def original() -> tuple[Items, dict[int, bytes]]:
    """Tensors and slices in two data files, with no gaps; a string, which has no bytes."""
    rng = np.random.default_rng(9)
    data = {0: b"", 1: b""}
    items = [(b"", header(SHARDS)), (b"text", entry((), dtype=STRING, size=0, data=b""))]

    def add(key: bytes, array: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", shard: int) -> None:
        content = array.tobytes()
        numbers = {"dtype": BOOL} if array.dtype == np.bool_ else {}
        items.append(
            (key, entry(array.shape, shard=shard, offset=len(data[shard]), size=len(content), data=content, **numbers))
        )
        data[shard] += content

    for number, shape in enumerate([(3,), (2, 2), (), (0, 4), (5, 1, 2)]):
        add(b"bert/layer_%d/kernel" % number, rng.random(shape, np.float32), number % 2)
    add(b"flags", rng.random(5) < 0.5, 1)
    whole, parts = rng.random((4, 90), np.float32), [[(0, -1), (0, 40)], [(0, 2), (40, 50)], [(2, 2), (40, 50)]]
    for number, where in enumerate(parts):
        window = tuple(slice(start, None if length < 0 else start + length) for start, length in where)
        add(slice_key("partitioned", tuple(where)), whole[window], number % 2)
    items.append((b"partitioned", sliced(whole.shape, parts)))
    return sorted(items), data


ITEMS, DATA = original()
INDEX = sstable.build(ITEMS, BLOCK_SIZE)


def blocks() -> list[tuple[int, int]]:
    """(start, size) of every block, without its trailer: each ends where the next one starts."""
    found, start = [], 0
    for at in range(len(INDEX) - 48 - 4):
        if (
            at >= start
            and INDEX[at] == 0
            and struct.pack("<I", masked_crc32c(INDEX[start : at + 1])) == INDEX[at + 1 : at + 5]
        ):
            found.append((start, at - start))
            start = at + 5
    return found


BLOCKS = blocks()

INTERESTING = [0, 1, 2, 7, 8, 19, 58, 127, 128, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1]


def damage(content: bytes, rng: random.Random, *, same_size: bool = False) -> bytes:
    """The bytes with one to three changes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.randint(1, 12))
        kind = rng.randrange(3 if same_size else 7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            changed[at:end] = rng.randbytes(end - at)
        elif kind == 3:
            del changed[at:end]
        elif kind == 4:
            changed[at:at] = varint(rng.choice(INTERESTING))
        elif kind == 5:
            other = rng.randrange(len(content))
            changed[at:end] = content[other : other + rng.randint(0, 40)]
        elif kind == 6:
            del changed[at:]
    return bytes(changed)


def seal(index: bytes) -> bytes:
    """The right checksums for the blocks where they were in the original."""
    out = bytearray(index)
    for start, size in BLOCKS:
        struct.pack_into("<I", out, start + size + 1, masked_crc32c(bytes(out[start : start + size + 1])))
    return bytes(out)


def damaged_blocks(rng: random.Random) -> bytes:
    """Blocks of the same sizes with other contents, and right checksums."""
    index = INDEX
    for start, size in rng.sample(BLOCKS, rng.randint(1, 2)):
        index = index[:start] + damage(index[start : start + size], rng, same_size=True) + index[start + size :]
    return seal(index)


def damaged_items(rng: random.Random) -> bytes:
    """A right table of damaged keys and values, some of them dropped, doubled or moved."""
    items = list(ITEMS)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(items))
        key, value = items[at]
        kind = rng.randrange(8)
        if kind == 0:
            items[at] = damage(key or b"\0", rng), value
        elif kind == 1:
            del items[at]
        elif kind == 2:
            items.append((key + rng.choice((b"", b"x")), damage(value, rng) if value else value))
        elif kind == 3:
            items[at] = key, rng.choice(items)[1]
        else:
            items[at] = key, damage(value, rng) if value else b"\x08"
    if rng.random() < 0.1:  # out of order, and so in one block
        return sstable.build(items)
    return sstable.build(sorted(items), rng.choice((1, BLOCK_SIZE, 2**18)))


Result = dict[str, bytes]


def read(prefix: Path) -> tuple[Result, list[str]]:
    """The bytes of the tensors that can be read, and the names of those that can't; all of them can be listed."""
    source = TensorFlowSource(prefix)
    found, refused = {}, []
    for name, listed in source.entries.items():
        try:
            array = source.read(name)
            assert array.shape == listed.shape
            found[name] = array.tobytes()
        except CheckpointError as error:
            check_message(error)
            refused.append(name)
    return found, refused


def check_message(error: CheckpointError) -> None:
    assert str(error).count("\n") < 2
    assert "x.ckpt" in str(error)


def run(folder: Path, cases: Iterable[int]) -> dict[str, int]:
    """Makes and reads the damaged checkpoints with these numbers; returns how often what happened."""
    expected, refused = read(forge.write_raw(folder, INDEX, DATA, SHARDS))
    assert refused == ["text"]
    assert set(expected) == {key.decode() for key, _ in ITEMS if key and key[0]} - {"text"}
    makers: tuple[Callable[[random.Random], bytes], ...] = (
        lambda rng: damage(INDEX, rng),
        damaged_blocks,
        damaged_items,
    )
    counts: dict[str, int] = {}
    tracemalloc.start()
    try:
        for case in cases:
            rng = random.Random(f"tensorflow {case}")
            kind = case % 4
            index, data = INDEX, DATA
            if kind == 3:
                shard = rng.randrange(SHARDS)
                data = {**DATA, shard: damage(DATA[shard], rng)}
            else:
                index = makers[kind](rng)
            prefix = forge.write_raw(folder, index, data, SHARDS)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            outcome = judge(prefix, kind, index, data, expected)
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak < 64 * len(index) + 4 * sum(map(len, data.values())) + 2**18, (case, peak)
            name = f"{('index', 'blocks', 'items', 'data')[kind]} {outcome}"
            counts[name] = counts.get(name, 0) + 1
    finally:
        tracemalloc.stop()
    return counts


def judge(prefix: Path, kind: int, index: bytes, data: dict[int, bytes], expected: Result) -> str:
    try:
        found, refused = read(prefix)
    except CheckpointError as error:
        check_message(error)
        return "refused"
    if kind in (0, 3):  # the checksums were not put right: what is read is what was stored
        assert set(found) | set(refused) == {*expected, "text"}
        assert all(expected[name] == content for name, content in found.items())
        changed = any(data[shard][: len(DATA[shard])] != DATA[shard] for shard in DATA)
        assert changed == (refused != ["text"])
    return "partly refused" if set(refused) - {"text"} else "read"


def test_the_blocks_are_all_found() -> None:
    assert len(BLOCKS) > 4
    assert sum(size + 5 for _, size in BLOCKS) + 48 == len(INDEX)
    assert seal(INDEX) == INDEX


def test_damaged_checkpoints(tmp_path: Path) -> None:
    counts = run(tmp_path, range(400))
    # a fuzzer of which nothing is ever read, or nothing ever refused, tests nothing
    assert counts["index refused"] > 90
    assert counts["data partly refused"] > 90
    assert {"blocks refused", "blocks read", "items refused", "items read"} <= set(counts)


@pytest.mark.slow
def test_many_damaged_checkpoints(tmp_path: Path) -> None:
    assert sum(run(tmp_path, range(400, 20_400)).values()) == 20_000
