"""What is written is read again, bit by bit; and a checkpoint is there whole or not at all."""

import itertools
import struct
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bertref.checkpoint.tensorflow import TensorFlowSource, sstable, write_bundle
from bertref.errors import CheckpointError, InputError
from bertref.plumbing import files
from bertref.plumbing.crc32c import masked_crc32c

from . import forge

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

dtypes = st.sampled_from(
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128".split()
).map(np.dtype) | st.sampled_from([">f4", ">i8", ">c8"]).map(np.dtype)  # fmt: skip
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(lambda name: name[0] != "\0")
tensors = st.dictionaries(
    names, arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)), max_size=6
)


def read(prefix: Path) -> dict[str, Any]:
    source = TensorFlowSource(prefix)
    return {name: source.read(name) for name in source.entries}


@given(tensors)
def test_round_trip(written: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "x.ckpt", written)
        found = read(Path(folder) / "x.ckpt")
    assert list(found) == sorted(written, key=str.encode)
    for name, array in written.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert found[name].shape == array.shape
        assert found[name].dtype == native.dtype
        assert found[name].tobytes() == native.tobytes()


def test_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    grid = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    written = {"a": grid.T, "b": grid[::-1, ::2], "c": np.broadcast_to(np.float32(2), (3, 2)), "d": grid[1, 2, 3:]}
    before = grid.copy()
    write_bundle(tmp_path / "x", written)
    for name, array in read(tmp_path / "x").items():
        assert np.array_equal(array, written[name])
    assert np.array_equal(grid, before)


def test_every_bfloat16(tmp_path: Path) -> None:
    """Widened exactly: the bits are the upper half."""
    bits = np.arange(2**16, dtype=np.uint16)
    write_bundle(
        tmp_path / "x", {"t": bits.view(BFLOAT16), "s": bits.view(BFLOAT16)[16256], "v": bits.view(BFLOAT16)[::2]}
    )
    found = read(tmp_path / "x")
    assert TensorFlowSource(tmp_path / "x").entries["t"].dtype == "bfloat16"
    assert found["t"].dtype == np.float32
    assert np.array_equal(found["t"].view(np.uint32), bits.astype(np.uint32) << 16)
    assert found["s"].shape == ()
    assert found["s"] == 1
    assert np.array_equal(found["v"].view(np.uint32) >> 16, bits[::2])


def test_a_checksum_of_zero_is_left_out(tmp_path: Path) -> None:
    """As every number that is zero; four bytes were solved for that have it."""
    data = bytes.fromhex("45a3e71f")
    assert masked_crc32c(data) == 0
    write_bundle(tmp_path / "x", {"t": np.frombuffer(data, np.uint8)})
    entry = sstable.read(tmp_path / "x.index")[b"t"]
    assert entry == forge.whole(1, 4) + forge.message(2, forge.shape([4])) + forge.whole(5, 4)
    assert read(tmp_path / "x")["t"].tobytes() == data


def test_what_is_read_is_the_callers_own(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", {"t": np.zeros(3)})
    source = TensorFlowSource(tmp_path / "x")
    source.read("t")[...] = 1
    assert source.read("t").tolist() == [0, 0, 0]


def test_an_empty_checkpoint(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", {})
    assert read(tmp_path / "x") == {}


@pytest.mark.parametrize("name", ["", "\0", "\0x", "\ud800"])
def test_names_that_can_t_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"can't be the name of a tensor"):
        write_bundle(tmp_path / "x", {"a": np.zeros(2), name: np.zeros(2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, "f4,i4"), np.zeros(2, "M8[s]")])
def test_dtypes_that_can_t_be(tmp_path: Path, array: Any) -> None:
    with pytest.raises(CheckpointError, match=r"x: tensor 't' has the dtype .*, which is not written"):
        write_bundle(tmp_path / "x", {"t": array})
    assert list(tmp_path.iterdir()) == []


# -- whole or not at all ----------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_checkpoint_that_is_there_is_never_touched(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", {"t": np.zeros(3)})
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"x\.index: exists; remove the checkpoint, or choose another name"):
        write_bundle(tmp_path / "x", {"t": np.ones(3)})
    assert contents(tmp_path) == before


def test_data_without_an_index_are_a_leftover(tmp_path: Path) -> None:
    """Of a run that was killed between the two files: they are no checkpoint, and are replaced."""
    (tmp_path / "x.data-00000-of-00001").write_bytes(b"left over")
    write_bundle(tmp_path / "x", {"t": np.ones(1, np.float32)})
    assert read(tmp_path / "x")["t"].tolist() == [1]


@pytest.mark.parametrize("renames", [0, 1])
def test_nothing_is_left_when_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """The first rename is the data file's, the second one the index's."""
    left = iter(range(renames))
    replace = files.os.replace

    def refuse(*names: Any) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        replace(*names)

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(InputError, match=r"can't be written \(No space left on device\)"):
        write_bundle(tmp_path / "x", {"t": np.ones(3)})
    assert list(tmp_path.iterdir()) == []


def test_the_index_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    replace = files.os.replace
    monkeypatch.setattr(files.os, "replace", lambda a, b: (order.append(Path(b).name), replace(a, b)))
    write_bundle(tmp_path / "x", {"t": np.ones(3)})
    assert order == ["x.data-00000-of-00001", "x.index"]


def test_large_tensors_are_not_copied_into_one_piece(tmp_path: Path) -> None:
    import tracemalloc

    big = {f"t{number}": np.full(2**18, number, np.float32) for number in range(16)}
    tracemalloc.start()
    write_bundle(tmp_path / "x", big)
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20  # the sixteen have 16 MB
    tracemalloc.stop()


# -- the table --------------------------------------------------------------------------------------------------------

keys = st.lists(st.binary(max_size=6) | st.text("ab\xff", max_size=9).map(lambda s: s.encode("latin-1")), unique=True)


@given(keys, st.integers(1, 200))
def test_tables_are_read_again(unordered: list[bytes], block_size: int) -> None:
    """With blocks of every size: the reader checks that each key of the index block parts its block from the next."""
    items = [(key, bytes((number % 256,)) * (number % 5)) for number, key in enumerate(sorted(unordered))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(sstable.build(items, block_size))
        assert list(sstable.read(path).items()) == items


def test_a_table_byte_by_byte() -> None:
    """Two blocks of a key each: "b" parts them, and in the index block, as nowhere else, no key shares with another."""
    first, second = forge.block([forge.table_entry(0, b"ab1", b"x")]), forge.block([forge.table_entry(0, b"ad", b"")])
    entries = [forge.table_entry(0, b"ac", b"\0" + forge.varint(len(first) - 5)),
               forge.table_entry(0, b"b", forge.varint(len(first)) + forge.varint(len(second) - 5))]  # fmt: skip
    restarts = struct.pack("<3I", 0, len(entries[0]), 2)
    expected = forge.finish(first + second, entries, restarts=restarts)
    assert sstable.build([(b"ab1", b"x"), (b"ad", b"")], 1) == expected


def test_blocks_end_when_they_are_full(tmp_path: Path) -> None:
    items = [(b"%04d" % number, bytes(20)) for number in range(500)]
    sizes = [len(sstable.build(items, size)) for size in (1, 100, 1000, 10**6)]
    assert all(more > less for more, less in itertools.pairwise(sizes))
