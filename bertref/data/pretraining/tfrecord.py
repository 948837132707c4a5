"""TFRecord files: a sequence of byte strings, each with its length and two checksums.

    uint64  length                       little-endian, as all numbers
    uint32  masked CRC-32C of the length's eight bytes
    bytes   data
    uint32  masked CRC-32C of the data

The whole may be packed with gzip, as TensorFlow writes it with compression_type="GZIP". A file is one of records if
its name says so (`.tfrecord`, `.tfrecords`, `.tf_record` or `.tfrec`, then perhaps the shard's number,
`-00000-of-00010`, and `.gz`), or if it begins with a length and its checksum, whatever its name.

Source: TensorFlow, `lib/io/record_writer.h`.
"""

import gzip
import os
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...plumbing.crc32c import masked_crc32c
from ...plumbing.files import PREFIX

LENGTH = struct.Struct("<Q")
CHECKSUM = struct.Struct("<I")
HEADER_SIZE = LENGTH.size + CHECKSUM.size
NAME = re.compile(r"\.(?:tf_?records?|tfrec)(?:-\d+-of-\d+)?(?:\.gz)?$", re.IGNORECASE)
GZIP = b"\x1f\x8b\x08"
PIECE = 1 << 20
"""Bytes that are unpacked at a time."""


def frame(data: bytes) -> bytes:
    """One record as it stands in the file."""
    length = LENGTH.pack(len(data))
    return b"".join((length, CHECKSUM.pack(masked_crc32c(length)), data, CHECKSUM.pack(masked_crc32c(data))))


class Writer:
    """Writes records to several files in turn, as the original does: record i goes to file i modulo their number.

    A context manager: the files appear under their names when the block ends without an exception, and otherwise
    stay as they were. Raises `InputError` if the disk refuses.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        if not self.paths:
            raise InputError("no TFRecord file to write to")
        if len(set(self.paths)) < len(self.paths):
            raise InputError("a TFRecord file is named twice; every output file needs its own name")
        self.written = 0
        self._temporary = [path.with_name(f"{PREFIX}{os.getpid()}-{path.name}") for path in self.paths]
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> "Writer":
        try:
            for path, temporary in zip(self.paths, self._temporary, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.append(open(temporary, "wb"))
        except OSError as error:
            self._discard()
            raise self._refused(error) from None
        return self

    def write(self, data: bytes) -> None:
        """Adds a record."""
        try:
            self._files[self.written % len(self._files)].write(frame(data))
        except OSError as error:
            raise self._refused(error) from None
        self.written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for file in self._files:
                    file.flush()
                    os.fsync(file.fileno())
                    file.close()
                for temporary, path in zip(self._temporary, self.paths, strict=True):
                    temporary.replace(path)
        except OSError as refused:
            raise self._refused(refused) from None
        finally:
            self._discard()

    def _discard(self) -> None:
        for file in self._files:
            with suppress(OSError):
                file.close()
        for temporary in self._temporary:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> InputError:
        names = self.paths[0] if len(self.paths) == 1 else f"{self.paths[0]} and {len(self.paths) - 1} more"
        return InputError(
            f"{names}: can't be written ({error.strerror or error}); make room or choose another place"
        )


def is_record_file(path: Path) -> bool:
    """Whether a file holds records, by its name or its first bytes. A file that can't be read holds none."""
    if NAME.search(path.name):
        return not path.is_dir()
    try:
        return path.is_file() and _begins_record(_unpacked_head(path))
    except (OSError, EOFError, zlib.error):
        return False


def _unpacked_head(path: Path) -> bytes:
    with open(path, "rb") as file:
        head = file.read(HEADER_SIZE)
        if not _is_packed(head):
            return head
        file.seek(0)
        return gzip.GzipFile(fileobj=file).read(HEADER_SIZE)


def _begins_record(head: bytes) -> bool:
    return len(head) >= HEADER_SIZE and CHECKSUM.unpack_from(head, LENGTH.size)[0] == masked_crc32c(head[: LENGTH.size])


def _is_packed(head: bytes) -> bool:
    """Whether a file that begins so is in gzip; the length of a record may begin with the same bytes."""
    return head.startswith(GZIP) and not _begins_record(head)


def open_records(path: Path) -> IO[bytes]:
    """A file of records, to be read from any place.

    One in gzip is unpacked, a piece at a time, to a nameless file in the folder for temporary files, which vanishes
    when it is closed. Raises `InputError` if the file is missing or damaged, or if there is no room for it.
    """
    try:
        with open(path, "rb") as file:
            if not _is_packed(file.read(HEADER_SIZE)):
                return open(path, "rb")
            file.seek(0)
            return _unpacked(path, file)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from None


def _unpacked(path: Path, packed: IO[bytes]) -> IO[bytes]:
    place = tempfile.gettempdir()
    try:
        file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 (the caller closes it)
        shutil.copyfileobj(gzip.GzipFile(fileobj=packed), file, PIECE)
        file.flush()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: can't be unpacked: {error}; the file is damaged or cut off") from None
    except OSError as error:
        raise InputError(
            f"{path}: can't be unpacked into {place} ({error.strerror or error}); make room, or name another folder in "
            "TMPDIR"
        ) from None
    return file


def index_records(path: Path) -> npt.NDArray[np.int64]:
    """`index_of` a file on the disk, plain or in gzip."""
    with open_records(path) as file:
        return index_of(path, file)


def index_of(path: Path, file: IO[bytes]) -> npt.NDArray[np.int64]:
    """(N, 2): where the data of each record begin, and their length. Only lengths are read and checked.

    Raises `InputError`, with the offset of the record (in the unpacked file), if the file is damaged or cut off.
    """
    places: list[tuple[int, int]] = []
    size = file.seek(0, os.SEEK_END)
    offset = 0
    while offset < size:
        file.seek(offset)
        length = _length(path, file.read(HEADER_SIZE), offset, size)
        places.append((offset + HEADER_SIZE, length))
        offset += HEADER_SIZE + length + CHECKSUM.size
    return np.array(places, np.int64).reshape(-1, 2)


def _length(path: Path, header: bytes, offset: int, size: int) -> int:
    where = f"{path}, record at offset {offset}"
    if len(header) < HEADER_SIZE:
        raise InputError(f"{where}: the file is cut off")
    (length,), (checksum,) = LENGTH.unpack_from(header), CHECKSUM.unpack_from(header, LENGTH.size)
    if checksum != masked_crc32c(header[: LENGTH.size]):
        raise InputError(f"{where}: the checksum of its length is wrong; not a TFRecord file, or damaged")
    if offset + HEADER_SIZE + length + CHECKSUM.size > size:
        raise InputError(f"{where}: the file is cut off: the record has {length} bytes, and the file ends before")
    return int(length)


def check_data(path: Path, content: bytes, offset: int) -> bytes:
    """The data in `content`, which ends with their checksum; `InputError` if it is wrong. `offset`: of the record."""
    data = content[: -CHECKSUM.size]
    if CHECKSUM.unpack(content[-CHECKSUM.size :])[0] != masked_crc32c(data):
        raise InputError(f"{path}, record at offset {offset}: its checksum is wrong; the file is damaged")
    return data


def read_records(path: str | Path) -> Iterator[bytes]:
    """The data of all records of a file, checked; errors as `open_records`, `index_of` and `check_data`."""
    path = Path(path)
    with open_records(path) as file:
        for start, length in index_of(path, file).tolist():
            file.seek(start)
            yield check_data(path, file.read(length + CHECKSUM.size), start - HEADER_SIZE)
