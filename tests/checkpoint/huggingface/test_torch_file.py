"""Containers that are not as torch.save writes them, of both formats: each is refused in words."""

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from bertref.checkpoint.pickled import PickledSource

from .files import FOUR, dumps, legacy_bytes, legacy_tensor, refusal, storage, tensor, zip_bytes


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


GOOD = zip_bytes({"w": tensor()})


def entry_of(data: bytes, name: bytes, field: int, value: bytes) -> bytes:
    """A zip with a field of an entry in the table of contents replaced (offset as in the format's description)."""
    at = data.rindex(name) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    return data[: at + field] + value + data[at + field + len(value) :]


ZIPS: dict[str, tuple[bytes, str]] = {
    "half of it": (GOOD[: len(GOOD) // 2], "damaged or truncated"),
    "without its last byte": (GOOD[:-1], "damaged or truncated"),
    "a changed number": (changed(GOOD, FOUR, FOUR[:-1] + b"\x41"), "does not have its checksum"),
    "a changed pickle": (changed(GOOD, b"X\x01\x00\x00\x00w", b"X\x01\x00\x00\x00v"), "does not have its checksum"),
    "compressed": (zip_bytes({"w": tensor()}, compress_type=zipfile.ZIP_DEFLATED), "is compressed"),
    "a zip bomb": (zip_bytes({"w": tensor()}, {"0": b"\0" * 10_000_000}, compress_type=zipfile.ZIP_DEFLATED),
                   "is compressed"),
    "an entry larger than the file": (
        entry_of(GOOD, b"w/data/0", 20, struct.pack("<II", 1 << 31, 1 << 31)), "reaches beyond the file"),
    "an entry of another size": (entry_of(GOOD, b"w/data/0", 20, struct.pack("<II", 12, 12)), "says 16"),
    "two sizes": (entry_of(GOOD, b"w/data/0", 20, struct.pack("<II", 16, 1 << 31)), "is compressed"),
    "called compressed": (entry_of(GOOD, b"w/data/0", 10, struct.pack("<H", 8)), "is compressed"),
    "a storage longer than the pickle says": (
        zip_bytes({"w": tensor(storage(numel=2), 0, (2,), (1,))}), "has 16 bytes and the pickle says 8"),
    "encrypted": (entry_of(GOOD, b"w/data/0", 8, b"\x01"), "encrypted"),
    "an entry over another": (entry_of(GOOD, b"w/data/0", 42, struct.pack("<I", 0)), "calls itself|overlaps"),
    "an entry beyond the end": (entry_of(GOOD, b"w/data/0", 42, struct.pack("<I", 1 << 30)), "is not where"),
    "another name in front of the data": (GOOD.replace(b"w/data/0", b"w/data/1", 1), "calls itself 'w/data/1'"),
    "a byte order": (zip_bytes({"w": tensor()}, extra=[("w/byteorder", b"big")]), "byte order 'big'"),
    "a long byte order": (zip_bytes({"w": tensor()}, extra=[("w/byteorder", b"little" * 9)]), "54 bytes"),
    "two pickles": (zip_bytes({"w": tensor()}, extra=[("v/data.pkl", b"N.")]), "2 entries NAME/data.pkl"),
    "an empty zip": (b"PK\x05\x06" + b"\0" * 18, "not written by torch.save"),
    "no pickle": (changed(GOOD, b"w/data.pkl", b"w/data.pkg"), "0 entries NAME/data.pkl"),
    "two entries of one name up to a null": (GOOD.replace(b"w/version", b"w/data/0\0"), "the name 'w/data/0\\x00'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ZIPS)
def test_zips_that_torch_does_not_write(name: str, tmp_path: Path) -> None:
    data, says = ZIPS[name]
    (tmp_path / "a.bin").write_bytes(data)
    tracemalloc.start()
    try:
        message = refusal(tmp_path / "a.bin", PickledSource)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert any(part in message for part in says.split("|")), message


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zip_bytes({"w": tensor()}, extra=[("w/data/0", FOUR)])
    (tmp_path / "a.bin").write_bytes(data)
    assert "the entry 'w/data/0' twice" in refusal(tmp_path / "a.bin", PickledSource)


def test_an_entry_inside_another(tmp_path: Path) -> None:
    """Storage 0 holds what looks like storage 1, to which the table of contents points."""
    inner = b"PK\x03\x04" + b"\0" * 22 + struct.pack("<HH", 8, 0) + b"w/data/1" + FOUR
    data = zip_bytes(
        {"v": tensor(storage("0", 14), 0, (14,), (1,)), "w": tensor(storage("1"))}, {"0": inner, "1": FOUR}
    )
    data = entry_of(data, b"w/data/1", 42, struct.pack("<I", data.index(inner)))
    (tmp_path / "a.bin").write_bytes(data)
    assert "'w/data/1' overlaps another" in refusal(tmp_path / "a.bin", PickledSource)


def test_a_table_of_contents_of_many_entries(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.bin", "w") as archive:
        for i in range(1000):
            archive.writestr(f"{i:>65000}", b"")
    tracemalloc.start()
    try:
        assert "table of contents has more than" in refusal(tmp_path / "a.bin", PickledSource)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


# The format before 1.6.

LEGACY = legacy_bytes({"w": legacy_tensor()})
SYSTEM = {"little_endian": True}
LEGACIES: dict[str, tuple[bytes, str]] = {
    "half of it": (LEGACY[: len(LEGACY) // 2], "ends in the middle"),
    "without its last byte": (LEGACY[:-1], "storage '0' reaches beyond the file"),
    "without the storages": (LEGACY[:-24], "storage '0' reaches beyond the file"),
    "with more": (LEGACY + b"\0", "1 bytes follow"),
    "another pickle": (dumps({"w": 1}), "was not written by torch.save"),
    "another magic number": (legacy_bytes({}, {}, magic=7), "was not written by torch.save"),
    "another version": (legacy_bytes({}, {}, version=1002), "protocol 1002"),
    "big-endian": (legacy_bytes({}, {}, system={"little_endian": False}), "big-endian"),
    "no byte order": (legacy_bytes({}, {}, system={}), "big-endian"),
    "no system": (legacy_bytes({}, {}, system=[1]), "protocol"),
    "no keys": (legacy_bytes({"w": legacy_tensor()}, keys=[]), "not that of the storages in use"),
    "a key twice": (legacy_bytes({"w": legacy_tensor()}, keys=["0", "0"]), "not that of the storages in use"),
    "another key": (legacy_bytes({"w": legacy_tensor()}, keys=["0", "1"]), "not that of the storages in use"),
    "keys that are numbers": (legacy_bytes({"w": legacy_tensor()}, keys=[0]), "no list of keys"),
    "keys that are a text": (legacy_bytes({"w": legacy_tensor()}, keys="0"), "no list of keys"),
    "another count": (legacy_bytes({"w": legacy_tensor()}, {"0": (3, FOUR)}), "has 3 elements and the pickle says 4"),
    "a negative count": (legacy_bytes({"w": legacy_tensor()}, {"0": (-4, FOUR)}), "has -4 elements"),
    "a huge storage": (legacy_bytes({"w": tensor(storage("0", 1 << 60, torch.FloatStorage, None))},
                                    {"0": (1 << 60, FOUR)}), "reaches beyond the file"),
    "nothing": (b"", "not written by torch.save"),
    "a text": (b"hello", "not written by torch.save"),
    "a page": (b"<html>", "web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "safetensors": (struct.pack("<Q", 2) + b"{}", "looks like a safetensors file"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGACIES)
def test_what_is_wrong_in_the_format_before_1_6(name: str, tmp_path: Path) -> None:
    data, says = LEGACIES[name]
    (tmp_path / "a.bin").write_bytes(data)
    tracemalloc.start()
    try:
        assert says in refusal(tmp_path / "a.bin", PickledSource)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_changes_after_it_was_opened(tmp_path: Path) -> None:
    for data in (GOOD, LEGACY):
        (tmp_path / "a.bin").write_bytes(data)
        source = PickledSource(tmp_path / "a.bin")
        (tmp_path / "a.bin").write_bytes(data[:40])
        with pytest.raises(Exception, match="truncated or has changed"):
            source.read("w")
        (tmp_path / "a.bin").unlink()
        with pytest.raises(Exception, match="can't be read"):
            source.read("w")
        with pytest.raises(Exception, match="holds no tensor 'v'"):
            source.read("v")
