"""The two containers of `torch.save`: where the pickle lies, and where each storage.

Since torch 1.6, a zip file whose entries are stored, not compressed:

    NAME/data.pkl        the pickle; it refers to storages by key
    NAME/data/KEY        the bytes of a storage
    NAME/byteorder       "little" or "big" (since torch 2.1)

Before, pickles one after another and then the storages:

    magic number, protocol, {"little_endian": ...}, the pickle, the list of keys
    for each key: number of elements (int64, little-endian), its bytes

Source: torch/serialization.py, `_save` and `_legacy_save`.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import CheckpointError
from .pickle_names import Storage
from .pickle_reader import LONGEST, Machine, read_pickle
from .raw import existing_file, hint, read_range, shown

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_LARGEST_TABLE = 1 << 22
"""Bytes of a zip's table of contents, enough for 50,000 storages."""


@dataclass(frozen=True)
class Extent:
    """Where a storage's bytes lie in the file; `crc` is their CRC-32 where the container has one."""

    offset: int
    size: int
    crc: int | None = None


@dataclass(frozen=True)
class TorchFile:
    """What was saved, and where its storages lie: as long as the pickle says, within the file, none over another."""

    value: Any
    extents: dict[str, Extent]


def is_torch_file(path: Path) -> bool:
    """Whether a file begins as those of torch.save do."""
    return _head(path, existing_file(path)).startswith((b"PK\x03\x04", b"\x80"))


def open_torch_file(path: Path, kind: type[Machine] = Machine) -> TorchFile:
    """Reads everything but the storages, the pickle by a machine of that kind. Raises `CheckpointError` for whatever is
    not as torch writes it."""
    size = existing_file(path)
    head = _head(path, size)
    if head.startswith(b"PK\x03\x04"):
        return _zip_file(path, size, kind)
    if head.startswith(b"\x80"):
        return _legacy_file(path, size, kind)
    raise CheckpointError(f"{path}: was not written by torch.save{hint(head) or ', or is damaged'}")


def _head(path: Path, size: int) -> bytes:
    return read_range(path, 0, min(size, 64), "the beginning").tobytes()


class _Limited:
    """A file that does not give out more at once than a table of contents may have."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(_LARGEST_TABLE + 1 if size < 0 else min(size, _LARGEST_TABLE + 1))
        if len(data) > _LARGEST_TABLE:
            raise zipfile.BadZipFile(f"its table of contents has more than {_LARGEST_TABLE} bytes")
        return data


def _zip_file(path: Path, size: int, kind: type[Machine]) -> TorchFile:
    try:
        with open(path, "rb") as file:
            entries = dict(_entries(file, size))
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, struct.error, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: is a damaged or truncated file of torch.save ({error}); fetch it again"
        ) from None
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"{path}: is a zip file with {len(pickles)} entries NAME/data.pkl; torch.save writes one")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in entries:
        order = _checked_bytes(path, entries[f"{folder}byteorder"], "its byteorder", 16)
        if order != b"little":
            raise CheckpointError(f"{path}: was written with byte order {shown(order.decode('latin-1'))}; "
                                  "only 'little' is read")  # fmt: skip
    data = _checked_bytes(path, entries[pickles[0]], f"its {pickles[0]}", LONGEST)
    pickle = read_pickle(data, 0, f"{path}, {pickles[0]}", kind)
    if pickle.end != len(data):
        raise CheckpointError(f"{path}, {pickles[0]}: {len(data) - pickle.end} bytes follow the pickle")
    extents = {}
    for key, storage in pickle.storages.items():
        extent = entries.get(f"{folder}data/{key}")
        if extent is None:
            raise CheckpointError(f"{path}: has no entry for storage {shown(key)}; the file is damaged: fetch it again")
        if extent.size != storage.size:
            raise CheckpointError(
                f"{path}: storage {shown(key)} has {extent.size} bytes and the pickle says {storage.size}"
            )
        extents[key] = extent
    return TorchFile(pickle.value, extents)


def _entries(file: IO[bytes], size: int) -> Iterator[tuple[str, Extent]]:
    """Names and extents of a zip's entries. Raises `BadZipFile` for what torch never writes."""
    with zipfile.ZipFile(_Limited(file)) as archive:
        infos, table = archive.infolist(), archive.start_dir
    seen: set[str] = set()
    before = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.orig_filename
        if "\0" in name:
            raise zipfile.BadZipFile(f"it has an entry of the name {shown(name)}")
        if name in seen:
            raise zipfile.BadZipFile(f"it has the entry {shown(name)} twice")
        seen.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise zipfile.BadZipFile(f"its entry {shown(name)} is compressed or encrypted, which torch never does")
        start = _data_start(file, info)
        if info.header_offset < before or start + info.file_size > min(table, size):
            raise zipfile.BadZipFile(f"its entry {shown(name)} overlaps another or reaches beyond the file")
        before = start + info.file_size
        yield name, Extent(start, info.file_size, info.CRC)


def _data_start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: behind its own header, which must agree with the table of contents."""
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) != 30 or not header.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile(f"its entry {shown(info.orig_filename)} is not where the table of contents says")
    name_length, extra_length = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    name = file.read(name_length).decode("utf-8" if info.flag_bits & 0x800 else "cp437")
    if name != info.orig_filename:
        raise zipfile.BadZipFile(f"its entry {shown(info.orig_filename)} calls itself {shown(name)}")
    return info.header_offset + 30 + name_length + extra_length


def _checked_bytes(path: Path, extent: Extent, what: str, longest: int) -> bytes:
    if extent.size > longest:
        raise CheckpointError(f"{path}: {what} has {extent.size} bytes; at most {longest} are read")
    return read_extent(path, extent, what).tobytes()


def read_extent(path: Path, extent: Extent, what: str) -> npt.NDArray[np.uint8]:
    """The bytes of an extent. Raises `CheckpointError` if they are not there or have another checksum."""
    data = read_range(path, extent.offset, extent.size, what)
    if extent.crc is not None and zlib.crc32(data.data) != extent.crc:
        raise CheckpointError(f"{path}: {what} is damaged: it does not have its checksum; fetch the file again")
    return data


def _legacy_file(path: Path, size: int, kind: type[Machine]) -> TorchFile:
    head = read_range(path, 0, min(size, LONGEST), "the beginning").tobytes()
    where = f"{path} (torch's format before 1.6)"
    magic = read_pickle(head, 0, f"{path} (no zip file of torch.save)")
    if magic.value != MAGIC:
        raise CheckpointError(f"{path}: is a pickle, but was not written by torch.save")
    protocol = read_pickle(head, magic.end, where)
    system = read_pickle(head, protocol.end, where)
    if protocol.value != PROTOCOL or type(system.value) is not dict:
        raise CheckpointError(f"{where}: has protocol {shown(protocol.value)}; {PROTOCOL} is the only one")
    if system.value.get("little_endian") is not True:
        raise CheckpointError(f"{where}: was written on a big-endian machine; only little-endian files are read")
    pickle = read_pickle(head, system.end, where, kind)
    keys = read_pickle(head, pickle.end, where)
    if type(keys.value) is not list or any(type(key) is not str for key in keys.value):
        raise CheckpointError(f"{where}: its list of storages is no list of keys")
    if sorted(keys.value) != sorted(pickle.storages):
        raise CheckpointError(f"{where}: its list of storages is not that of the storages in use")
    return TorchFile(pickle.value, _legacy_extents(path, [pickle.storages[key] for key in keys.value], keys.end, size))


def _legacy_extents(path: Path, storages: list[Storage], at: int, size: int) -> dict[str, Extent]:
    """The storages lie end to end behind the pickles, each behind its number of elements."""
    extents = {}
    with open(path, "rb") as file:
        for storage in storages:
            file.seek(at)
            count = file.read(8)
            if len(count) != 8 or at + 8 + storage.size > size:
                raise CheckpointError(f"{path}: storage {shown(storage.key)} reaches beyond the file, which is "
                                      "truncated: fetch it again")  # fmt: skip
            (numel,) = struct.unpack("<q", count)
            if numel != storage.numel:
                raise CheckpointError(
                    f"{path}: storage {shown(storage.key)} has {numel} elements and the pickle says {storage.numel}"
                )
            extents[storage.key] = Extent(at + 8, storage.size)
            at += 8 + storage.size
    if at != size:
        raise CheckpointError(f"{path}: {size - at} bytes follow the last storage and belong to none")
    return extents
