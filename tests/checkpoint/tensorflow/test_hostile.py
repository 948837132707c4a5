"""What a damaged or hostile checkpoint can hold, one by one: each is refused with a line that names it."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bertref.checkpoint.tensorflow import TensorFlowSource
from bertref.checkpoint.tensorflow.slices import slice_key
from bertref.errors import CheckpointError

from . import forge
from .forge import BOOL, FLOAT, HALF, STRING, Items, entry, extents, header, message, sliced, varint, whole

HEAD = (b"", header())


def one(value: bytes) -> Items:
    """A checkpoint with one tensor."""
    return [HEAD, (b"t", value)]


def opened(prefix: Path, *tensors: str) -> dict[str, bytes]:
    """The bytes of these tensors."""
    source = TensorFlowSource(prefix)
    return {name: source.read(name).tobytes() for name in tensors}


def refused(prefix: Path, reason: str, *tensors: str) -> None:
    """Opening, or reading one of these tensors, fails with this reason in at most two lines that name the file."""
    with pytest.raises(CheckpointError, match=reason) as caught:
        opened(prefix, *tensors)
    text = str(caught.value)
    assert text.count("\n") < 2
    assert len(text) < 600 + 2 * len(str(prefix))
    assert str(prefix) in text


def test_the_forged_checkpoint_is_right_but_for_its_fault(tmp_path: Path) -> None:
    source = TensorFlowSource(forge.write(tmp_path, one(entry())))
    assert source.read("t").tolist() == [0, 0]
    by_hand = forge.table([(forge.block([forge.table_entry(0, *item) for item in one(entry())]), b"t")])
    assert TensorFlowSource(forge.write_raw(tmp_path, by_hand)).read("t").tolist() == [0, 0]


ENTRIES: dict[str, tuple[bytes, str]] = {
    "negative offset": (entry(offset=-8), "tensor 't' lies in data file 0 at -8 with 8 bytes"),
    "negative size": (entry(size=-8), "tensor 't' lies in data file 0 at 0 with -8 bytes"),
    "negative shard": (entry(shard=-1), "tensor 't' lies in data file -1"),
    "huge offset": (entry(offset=2**63 - 4), "tensor 't' lies in data file 0 at 9223372036854775804 with 8"),
    "shard out of range": (entry(shard=1), "tensor 't' lies in data file 1, and there are 1"),
    "negative shape": (entry((-2,)), r"tensor 't' has the shape \(-2,\), which can't be"),
    "two negative sizes": (entry((-2, -1)), r"tensor 't' has the shape \(-2, -1\), which can't be"),
    "huge shape": (entry((2**62, 2**62)), "tensor 't' has the shape"),
    "huge and empty shape": (entry((2**62, 0), size=0), "tensor 't' has the shape"),
    "product past 64 bits": (entry((2**32, 2**32)), "tensor 't' has the shape"),
    "shape larger than the bytes": (entry((3,)), r"'t' has 8 bytes, which is not what float32 of shape \(3,\) takes"),
    "bytes of another dtype": (entry(dtype=HALF), r"'t' has 8 bytes, which is not what float16 of shape \(2,\)"),
    "large shape": (entry((2**50,)), "'t' has 8 bytes"),
    "too many axes": (entry([1] * 65), "tensor 't' has 65 axes; at most 64"),
    "no shape": (whole(1, FLOAT) + message(2, whole(3, 1)), "tensor 't' has no shape"),
    "no dtype": (message(2, b""), "tensor 't' has the unknown dtype 0"),
    "unknown dtype": (entry(dtype=99), "tensor 't' has the unknown dtype 99"),
    "reference dtype": (entry(dtype=101), "tensor 't' has the unknown dtype 101"),
    "unknown field": (entry(more=whole(9, 1)), "tensor 't' holds the unknown field 9"),
    "field of another kind": (message(1, b"\x01"), "tensor 't' holds the unknown field 1"),
    "field twice": (entry(more=whole(5, 8)), "tensor 't' holds the field 5 twice"),
    "shape twice": (entry(more=message(2, b"")), "tensor 't' holds the field 2 twice"),
    "cut off in a number": (entry()[:-1], "tensor 't' a field is cut off"),
    "cut off in a varint": (whole(1, FLOAT) + b"\x20\xff", "tensor 't' is cut off"),
    "message past the end": (b"\x12\x7f", "tensor 't' a field is cut off"),
    "varint of eleven bytes": (b"\x08" + b"\xff" * 10 + b"\x01", "tensor 't' a number of more than ten bytes"),
    "varint of 65 bits": (b"\x08" + b"\xff" * 9 + b"\x02", "tensor 't' a number of more than 64 bits"),
    "group": (b"\x0b", "tensor 't' a field of the unknown kind 3"),
    "empty": (b"", "tensor 't' has the unknown dtype 0"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_entries(case: str, tmp_path: Path) -> None:
    value, reason = ENTRIES[case]
    refused(forge.write(tmp_path, one(value)), rf"x\.ckpt\.index: .*{reason}")


HEADERS: dict[str, tuple[bytes, str]] = {
    "big-endian": (header(more=whole(2, 1)), "little-endian"),
    "no data files": (header(0), "says that there are 0 data files"),
    "negative data files": (header(-1), "says that there are -1 data files"),
    "data files past 32 bits": (header(2**31), "says that there are 2147483648 data files"),
    "later version": (header(version=whole(1, 2) + whole(2, 2)), "needs a reader of version 2"),
    "bad reader": (header(version=whole(1, 1) + message(3, b"\x01")), "needs a reader"),
    "unknown field": (header(more=whole(4, 1)), "holds the unknown field 4"),
    "cut off": (b"\x08", "is cut off"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers(case: str, tmp_path: Path) -> None:
    value, reason = HEADERS[case]
    refused(forge.write(tmp_path, [(b"", value), (b"t", entry())]), rf"x\.ckpt\.index: the header .*{reason}")


SECOND = entry(offset=8)
TABLES: dict[str, tuple[Items, str]] = {
    "no header": ([(b"t", entry())], "it has no header"),
    "duplicate key": ([HEAD, (b"t", entry()), (b"t", SECOND)], "the key b't' occurs twice or out of order"),
    "keys out of order": ([HEAD, (b"u", entry()), (b"t", SECOND)], "the key b't' occurs twice or out of order"),
    "duplicate header": ([HEAD, HEAD], "the key b'' occurs twice"),
    "overlap": ([HEAD, (b"t", entry()), (b"u", entry(offset=7))], "tensor 't' and tensor 'u' overlap"),
    "the same place": ([HEAD, (b"t", entry()), (b"u", entry())], "tensor 't' and tensor 'u' overlap"),
    "overlap of strings": ([HEAD, (b"t", entry(dtype=STRING)), (b"u", entry(offset=4))], "'t' and tensor 'u' overlap"),
    "not UTF-8": ([HEAD, (b"\xff", entry())], "has a name that is not UTF-8"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str, tmp_path: Path) -> None:
    items, reason = TABLES[case]
    refused(forge.write(tmp_path, items), rf"x\.ckpt\.index: .*{reason}")


def test_tensors_side_by_side_do_not_overlap(tmp_path: Path) -> None:
    """Neither do an empty tensor inside another one, or gaps, or the same offset in two files."""
    items = [HEAD, (b"a", entry(offset=20)), (b"b", entry(offset=12)), (b"e", entry((0,), offset=15, size=0, data=b""))]
    source = TensorFlowSource(forge.write(tmp_path, items))
    assert [source.read(name).size for name in source.entries] == [2, 2, 0]
    items = [(b"", header(2)), (b"a", entry()), (b"b", entry(shard=1))]
    source = TensorFlowSource(forge.write(tmp_path, items, {0: bytes(8), 1: bytes(8)}, 2))
    assert [source.read(name).size for name in source.entries] == [2, 2]


def test_huge_empty_shapes_are_read(tmp_path: Path) -> None:
    source = TensorFlowSource(forge.write(tmp_path, one(entry((2**58, 0), size=0, data=b""))))
    assert source.read("t").shape == (2**58, 0)


# the data ------------------------------------------------------------------------------------------------------------


def test_data_that_are_missing_or_cut_off(tmp_path: Path) -> None:
    prefix = forge.write(tmp_path, one(entry(offset=4)), {})
    file = tmp_path / "x.ckpt.data-00000-of-00001"
    assert list(TensorFlowSource(prefix).entries) == ["t"]
    refused(prefix, r"data-00000-of-00001: no such file; the data of 't' lie in it: put it beside x\.ckpt\.index", "t")
    file.mkdir()
    refused(prefix, r"data-00000-of-00001: no such file", "t")
    file.rmdir()
    for size in (0, 4, 11):
        file.write_bytes(bytes(size))
        refused(
            prefix, rf"of-00001: cut off, or of another .* tensor 't' ends at byte 12, and the file has {size}", "t"
        )
    file.write_bytes(bytes(12))
    assert TensorFlowSource(prefix).read("t").tolist() == [0, 0]


def test_an_index_that_points_far_beyond_takes_no_memory(tmp_path: Path) -> None:
    slices = [[(0, 2**39)], [(2**39, 2**39)]]
    part = entry((2**39,), size=2**41)
    other = entry((2**39,), size=2**41, offset=2**41)
    keys = [slice_key("t", tuple(where)) for where in slices]
    in_two = [HEAD, (keys[0], part), (keys[1], other), (b"t", sliced((2**40,), slices))]
    for items in (one(entry((2**40,), size=2**42)), in_two):
        prefix = forge.write(tmp_path, items)
        tracemalloc.start()
        refused(prefix, "cut off, or of another checkpoint", "t")
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_wrong_checksums(tmp_path: Path) -> None:
    prefix = forge.write(tmp_path, one(entry()), {0: b"\0\0\0\0\0\0\x80\0"})
    refused(prefix, r"data-00000-of-00001: tensor 't' does not have its checksum", "t")


def test_truth_values_are_0_or_1(tmp_path: Path) -> None:
    data = b"\0\1\2"
    prefix = forge.write(tmp_path, one(entry((3,), dtype=BOOL, size=3, data=data)), {0: data})
    refused(prefix, "tensor 't' holds a truth value that is neither 0 nor 1", "t")


def test_strings_and_unknown_names_are_refused(tmp_path: Path) -> None:
    prefix = forge.write(tmp_path, one(entry(dtype=STRING)))
    assert TensorFlowSource(prefix).entries["t"].dtype == "string"
    refused(prefix, "tensor 't' holds string values, which are not read", "t")
    refused(prefix, r"x\.ckpt: holds no tensor 'u'", "u")


@pytest.mark.parametrize("name", ["a\nb\r\n" * 30, "x" * 5000, "\x1b[31m", "\u2028"])
def test_names_cannot_break_the_message(name: str, tmp_path: Path) -> None:
    prefix = forge.write(tmp_path, [HEAD, (name.encode(), entry(offset=60))])
    refused(prefix, "cut off", name)
    refused(forge.write(tmp_path, [HEAD, (name.encode(), entry(dtype=0))]), "unknown dtype")
    refused(forge.write(tmp_path, [HEAD, (name.encode(), entry()), (name.encode(), entry())]), "occurs twice")


# slices --------------------------------------------------------------------------------------------------------------

HALVES = ([(0, 1)], [(1, 1)])
PART, REST = entry((1,), size=4, data=bytes(4)), entry((1,), size=4, offset=4, data=bytes(4))


def in_slices(tensor: bytes, parts: dict[tuple[tuple[int, int], ...], bytes]) -> Items:
    slices = sorted((slice_key("t", where), value) for where, value in parts.items())
    return [HEAD, *slices, (b"t", tensor)]


SLICES: dict[str, tuple[Items, str]] = {
    "missing": (in_slices(sliced((2,), HALVES), {((0, 1),): PART}), r"lists a slice \(\(1, 1\),\) that is not in the"),
    "too few": (in_slices(sliced((2,), HALVES[:1]), {((0, 1),): PART}), "'t' has 2 elements, and its slices have 1"),
    "too many": (
        in_slices(sliced((2,), ([(0, 2)], [(1, 1)])), {((0, 2),): entry(), ((1, 1),): entry((1,), size=4, offset=8)}),
        "'t' has 2 elements, and its slices have 3",
    ),
    "stray": (in_slices(entry(offset=8), {((0, 1),): PART}), r"slice '.*' is a slice that belongs to no tensor"),
    "outside": (in_slices(sliced((2,), ([(1, 2)],)), {((1, 2),): entry()}), "'t' has a slice from 1 with 2 elements"),
    "negative start": (in_slices(sliced((2,), ([(-1, 2)],)), {((-1, 2),): entry()}), "'t' has a slice from -1 with 2"),
    "negative length": (
        in_slices(sliced((2,), ([(1, -2)],)), {((1, -2),): PART}),
        "'t' has a slice from 1 with -2 elements",
    ),
    "all of it but the start": (in_slices(sliced((2,), ([(1, -1)],)), {((1, -1),): PART}), "a slice from 1 with -1"),
    "huge": (in_slices(sliced((2,), ([(0, 2**62)],)), {((0, 2**62),): PART}), "'t' has a slice from 0 with 46116860"),
    "other rank": (
        in_slices(sliced((2,), ([(0, 1), (0, 1)],)), {((0, 1), (0, 1)): PART}),
        "'t' has a slice of 2 axes and 1 axes itself",
    ),
    "many axes": (in_slices(sliced((2,), ([(0, -1)] * 65,)), {}), "'t' has a slice of more than 64 axes"),
    "other dtype": (
        in_slices(sliced((2,), HALVES), {((0, 1),): PART, ((1, 1),): entry((1,), dtype=3, size=4, offset=4)}),
        r"'t' is float32, and its slice \(\(1, 1\),\) is int32 of shape \(1,\)",
    ),
    "other shape": (
        in_slices(sliced((2,), HALVES), {((0, 1),): PART, ((1, 1),): entry((1, 1), size=4, offset=4)}),
        r"its slice \(\(1, 1\),\) is float32 of shape \(1, 1\)",
    ),
    "sliced itself": (
        in_slices(sliced((2,), HALVES), {((0, 1),): PART, ((1, 1),): sliced((1,), ([(0, 1)],))}),
        r"its slice \(\(1, 1\),\) is float32",
    ),
    "a place of its own": (
        in_slices(sliced((2,), HALVES, size=8, offset=8), {((0, 1),): PART, ((1, 1),): REST}),
        "'t' has slices and a place of its own",
    ),
    "extent with an unknown field": (
        in_slices(whole(1, FLOAT) + message(2, forge.shape((2,))) + message(7, extents([(0, 1)]) + whole(2, 1)), {}),
        "'t' holds the unknown field 2",
    ),
}


@pytest.mark.parametrize("case", SLICES)
def test_slices(case: str, tmp_path: Path) -> None:
    items, reason = SLICES[case]
    refused(forge.write(tmp_path, items), rf"x\.ckpt\.index: .*{reason}")


def test_slices_that_overlap(tmp_path: Path) -> None:
    """As many elements as there are, but one twice and one never."""
    slices = ([(0, 2)], [(1, 1)])
    parts = {((0, 2),): entry(), ((1, 1),): entry((1,), size=4, offset=8, data=bytes(4))}
    refused(forge.write(tmp_path, in_slices(sliced((3,), slices), parts)), "tensor 't' has slices that overlap", "t")
    twice = in_slices(sliced((2,), ([(0, 1)], [(0, 1)])), {((0, 1),): PART})
    refused(forge.write(tmp_path, twice), "tensor 't' has slices that overlap", "t")


def test_right_slices_are_put_together(tmp_path: Path) -> None:
    values = np.arange(2, dtype="<f4")
    first, second = values[:1].tobytes(), values[1:].tobytes()
    parts = {
        ((0, 1),): entry((1,), size=4, data=first),
        ((1, 1),): entry((1,), size=4, offset=4, data=second),
    }
    prefix = forge.write(tmp_path, in_slices(sliced((2,), HALVES), parts), {0: first + second})
    assert TensorFlowSource(prefix).read("t").tolist() == [0, 1]
    assert list(TensorFlowSource(prefix).entries) == ["t"]


# the table -----------------------------------------------------------------------------------------------------------

ITEMS = [forge.table_entry(0, *item) for item in one(entry())]
BLOCK = forge.block(ITEMS)
HANDLE = varint(0) + varint(len(BLOCK) - 5)
GOOD = forge.table([(BLOCK, b"t")])


def nested(depth: int) -> bytes:
    """Blocks within a value of the block before: every one is a right block, and each holds the bytes of all inside."""
    inner = b""
    places: list[int] = []
    for number in reversed(range(depth)):
        start = varint(0) + varint(4) + varint(len(inner)) + struct.pack(">I", number)
        places = [0, *(place + len(start) for place in places)]
        inner = forge.block([start + inner])
    sizes = []
    for number in range(depth):  # the nested block ends before the restarts and the trailer of those around it
        sizes.append(len(inner) - places[number] - (8 + 5) * number - 5)
    handles = [
        forge.table_entry(0, struct.pack(">I", number), varint(place) + varint(size))
        for number, (place, size) in enumerate(zip(places, sizes, strict=True))
    ]
    return forge.finish(inner, handles)


def patched(place: int, content: bytes) -> bytes:
    """The right table with these bytes at a place counted from the end if negative."""
    place %= len(GOOD)
    return GOOD[:place] + content + GOOD[place + len(content) :]


RAW: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "the magic number at its end is missing"),
    "47 bytes": (GOOD[-47:], "the magic number at its end is missing"),
    "footer only": (GOOD[-48:], "does not fit in the file"),
    "wrong magic": (patched(-1, b"\xda"), "the magic number at its end is missing"),
    "cut off": (GOOD[:-1], "the magic number at its end is missing"),
    "cut off at its start": (GOOD[1:], "does not have its checksum"),
    "something in the footer's padding": (patched(-9, b"\1"), "the footer holds more than two handles"),
    "footer without end": (patched(-48, b"\x80" * 40), "a number of more than ten bytes"),
    "handles up to the magic number": (patched(-48, (b"\xff" * 9 + b"\1") * 4), "does not fit in the file"),
    "handle beyond the file": (patched(-48, varint(2**40) + b"\1\0\0"), "a block of 1 bytes at 1099511627776"),
    "block whose checksum is in the footer": (
        forge.finish(BLOCK, [forge.table_entry(0, b"t", varint(0) + varint(len(GOOD) - 50))]),
        f"a block of {len(GOOD) - 50} bytes at 0 does not fit in the file",
    ),
    "snappy": (
        forge.table([(forge.block(ITEMS, kind=1), b"t")]),
        "the block at 0 is compressed by snappy, which is not read; save it again uncompressed",
    ),
    "snappy index": (forge.table([(forge.block(ITEMS), b"t")], index_kind=1), "is compressed by snappy"),
    "unknown compression": (forge.table([(forge.block(ITEMS, kind=7), b"t")]), "in the unknown way 7"),
    "restarts beyond the block": (
        forge.table([(forge.block(ITEMS, restarts=struct.pack("<I", 2**31)), b"t")]),
        "more restarts than bytes",
    ),
    "block without restarts": (forge.table([(forge.block([], restarts=b"\1"), b"t")]), "a block is too short"),
    "shared bytes that are not there": (
        forge.table([(forge.block([*ITEMS, forge.table_entry(2, b"x", b"")]), b"z")]),
        "an entry reaches beyond its block",
    ),
    "value beyond the block": (
        forge.table([(forge.block([*ITEMS, b"\0\1\x7fz"]), b"z")]),
        "an entry reaches beyond its block",
    ),
    "entry that ends in the restarts": (
        forge.table([(forge.block([*ITEMS, b"\0\1"]), b"z")]),
        "an entry reaches beyond its block",
    ),
    "entry with a huge key": (
        forge.table([(forge.block([*ITEMS, b"\0" + varint(2**60) + b"\0z"]), b"z")]),
        "an entry reaches beyond its block",
    ),
    "bad varint": (forge.table([(forge.block([b"\xff" * 12]), b"z")]), "a number of more than ten bytes"),
    "index key before the last of its block": (
        forge.table([(forge.block(ITEMS), b"s")]),
        r"the key b't' lies behind the key that the index block gives its block",
    ),
    "index key behind the next block's first": (
        forge.table([(BLOCK, b"z"), (forge.block([forge.table_entry(0, b"u", SECOND)]), b"zz")]),
        "the key b'u' occurs twice or out of order",
    ),
    "a key in two blocks": (
        forge.table([(forge.block(ITEMS), b"t"), (forge.block([forge.table_entry(0, b"t", entry())]), b"u")]),
        "the key b't' occurs twice or out of order",
    ),
    "the same block twice": (
        forge.finish(BLOCK, [forge.table_entry(0, b"t", HANDLE), forge.table_entry(0, b"u", HANDLE)]),
        "its blocks are out of order or overlap",
    ),
    "blocks in blocks": (nested(3), "its blocks are out of order or overlap"),
    "more than a handle": (
        forge.finish(BLOCK, [forge.table_entry(0, b"t", HANDLE + b"\0")]),
        "its blocks are out of order or overlap",
    ),
    "handle cut off": (forge.finish(BLOCK, [forge.table_entry(0, b"t", b"\0")]), "a number is cut off"),
}  # fmt: skip


@pytest.mark.parametrize("case", RAW)
def test_raw_tables(case: str, tmp_path: Path) -> None:
    content, reason = RAW[case]
    refused(forge.write_raw(tmp_path, content), rf"x\.ckpt\.index: .*{reason}")


def test_a_metaindex_is_refused(tmp_path: Path) -> None:
    body, meta, index = forge.block(ITEMS), forge.block([forge.table_entry(0, b"filter", b"")]), b""
    index = forge.block([forge.table_entry(0, b"t", varint(0) + varint(len(body) - 5))])
    footer = b"".join(map(varint, (len(body), len(meta) - 5, len(body) + len(meta), len(index) - 5)))
    content = body + meta + index + footer.ljust(40, b"\0") + GOOD[-8:]
    refused(forge.write_raw(tmp_path, content), "a metaindex, which no checkpoint has")


def test_every_changed_byte_of_the_index_is_seen(tmp_path: Path) -> None:
    """All but one: the footer's last varint can have a byte more that adds nothing, since a zero follows it."""
    unseen = []
    for place in range(len(GOOD)):
        for bit in (0, 4, 7):
            prefix = forge.write_raw(tmp_path, patched(place, bytes((GOOD[place] ^ 1 << bit,))))
            try:
                assert opened(prefix, "t") == {"t": bytes(8)}
                unseen.append((place, bit))
            except CheckpointError:
                pass
    assert unseen == [(len(GOOD) - 45, 7)]


def test_every_length_but_the_right_one_is_refused(tmp_path: Path) -> None:
    for size in range(len(GOOD)):
        with pytest.raises(CheckpointError):
            TensorFlowSource(forge.write_raw(tmp_path, GOOD[:size]))


def long_keys() -> bytes:
    """A long key, and many that share all of it: 20 bytes in the file stand for 40,000 in memory."""
    key = b"k" * 40_000
    value = entry((0,), size=0, data=b"")
    more = [forge.table_entry(len(key), struct.pack(">I", number), value) for number in range(20_000)]
    first = [forge.table_entry(0, *HEAD), forge.table_entry(0, key, value)]
    return forge.table([(forge.block([*first, *more]), b"l")])


@pytest.mark.parametrize(
    ("make", "reason"),
    [(long_keys, "its keys would take more memory"), (lambda: nested(300), "out of order or overlap")],
    ids=["long keys", "blocks in blocks"],
)
def test_a_table_can_t_stand_for_more_memory_than_a_multiple_of_its_size(
    make: Callable[[], bytes], reason: str, tmp_path: Path
) -> None:
    content = make()
    prefix = forge.write_raw(tmp_path, content)
    tracemalloc.start()
    refused(prefix, reason)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * len(content)


def test_a_large_wrong_file_is_not_read(tmp_path: Path) -> None:
    """Only its end."""
    (tmp_path / "x.ckpt.index").write_bytes(b"")
    with open(tmp_path / "x.ckpt.index", "r+b") as file:
        file.truncate(2**33)
    tracemalloc.start()
    refused(tmp_path / "x.ckpt", "the magic number at its end is missing")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_what_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "x.ckpt", r"x\.ckpt\.index: no such file")
    (tmp_path / "x.ckpt.index").mkdir()
    refused(tmp_path / "x.ckpt", r"x\.ckpt\.index: no such file")
