"""Files of text: which ones a corpus consists of, and their lines, read without ever holding a file in memory.

A line ends at "\\n" or "\\r\\n" and nowhere else: the characters U+0085, U+000B and U+001C, at which
`str.splitlines` also cuts, occur inside the sentences of real corpora.
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from ...errors import InputError
from .corpus import FORMAT, MANIFEST
from .tfrecord import is_record_file

JSONL = (".jsonl", ".ndjson")
TEXT = (".txt", ".text", *JSONL)
IN_FOLDERS = (*TEXT, "")
"""The endings, before any `.gz`, of a folder's files that are read; WikiExtractor's files have none."""

UNPACK = "an archive; unpack it first"
CONVERT = 'not plain text; convert it to text or to JSON lines with a "text" key'
UNSUPPORTED = {
    **dict.fromkeys((".tar", ".tgz", ".zip", ".7z", ".rar", ".bz2", ".xz", ".zst"), UNPACK),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".odt", ".rtf", ".epub", ".html", ".htm", ".xml"), CONVERT),
    **dict.fromkeys((".json", ".csv", ".tsv", ".parquet", ".arrow"), CONVERT),
}
RECORDS = "holds finished examples (TFRecord), not text; only `bertref pretrain` takes them, and no text beside them"
PEEK = 8192
REPORT_EVERY = 1 << 20

OnBytes = Callable[[int], None]
"""Told how many more bytes of the files on the disk were read."""


def ending(path: Path) -> str:
    """The file name's ending in lower case, without a `.gz` after it."""
    path = Path(path.stem) if path.suffix.lower() == ".gz" else path
    return path.suffix.lower()


def check_paths(paths: Sequence[str | Path]) -> list[Path]:
    """The paths, each of which exists and may hold text; otherwise `InputError`."""
    checked = [Path(path) for path in paths]
    if not checked:
        raise InputError("no corpus given; name files or folders of text")
    for path in checked:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if path.is_file() and ending(path) in UNSUPPORTED:
            raise InputError(f"{path}: {UNSUPPORTED[ending(path)]}")
        if path.is_file() and is_record_file(path):
            raise InputError(f"{path}: {RECORDS}")
    return checked


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files of a corpus in a stated order: paths as given, a folder's files by name, then its folders by name.

    In a folder, hidden files and those that don't end as in IN_FOLDERS are passed over. Raises `InputError` if a folder
    then has no file at all, and where one holds records or a prepared corpus: the vocabulary beside them is no text.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            visible = sorted(name for name in names if not name.startswith("."))
            _refuse_prepared(Path(folder), visible)
            for name in visible:
                if ending(Path(name)) in IN_FOLDERS:
                    found = True
                    yield Path(folder, name)
        if not found:
            endings = " ".join(filter(None, IN_FOLDERS))
            raise InputError(f"{path}: no files of text in this folder ({endings}, .gz of these, or no ending)")


def _refuse_prepared(folder: Path, names: Sequence[str]) -> None:
    if MANIFEST in names and _is_manifest(folder / MANIFEST):
        raise InputError(f"{folder}: a prepared corpus, not text; only `bertref pretrain` takes it, named itself")
    for name in names:
        if ending(Path(name)) not in TEXT and is_record_file(folder / name):
            raise InputError(f"{folder / name}: {RECORDS}")


def _is_manifest(path: Path) -> bool:
    """Whether a file is the manifest of a prepared corpus: others have files of that name, too."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def total_bytes(paths: Sequence[str | Path]) -> int:
    """The size of a corpus on the disk, for progress bars; same errors as reading it."""
    return sum(path.stat().st_size for path in find_files(check_paths(paths)) if path.is_file())


def read_lines(path: Path, on_bytes: OnBytes | None = None) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or `.gz`, without their ends and without a byte order mark.

    Raises `InputError` for a file that can't be read or unpacked, that is binary (holds a zero byte), or that
    is not UTF-8: with the offset of the first bad byte (in the unpacked text).
    """
    offset = reported = 0
    try:
        with open(path, "rb") as disk:
            packed = path.suffix.lower() == ".gz"
            file = cast(io.BufferedReader, gzip.GzipFile(fileobj=disk) if packed else disk)
            _check_start(path, file.peek(PEEK)[:PEEK])
            for raw in file:
                yield _decode(path, raw, offset)
                offset += len(raw)
                if on_bytes and (position := disk.tell() if packed else offset) >= reported + REPORT_EVERY:
                    on_bytes(position - reported)
                    reported = position
            if on_bytes:
                on_bytes((disk.tell() if packed else offset) - reported)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: can't be unpacked: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from None


def _check_start(path: Path, start: bytes) -> None:
    """Refuses a binary file before a line of it is looked for: it may have none."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: UTF-16; text has to be UTF-8. Convert it first")
    _refuse_zero(path, start, 0)


def _refuse_zero(path: Path, raw: bytes, offset: int) -> None:
    if b"\0" in raw:
        place = offset + raw.index(b"\0")
        raise InputError(f"{path}: a binary file (zero byte at offset {place}); UTF-8 text is needed")


def _decode(path: Path, raw: bytes, offset: int) -> str:
    _refuse_zero(path, raw, offset)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start}; convert the file first"
        ) from None
    if offset == 0:
        text = text.removeprefix("\ufeff")
    return text.removesuffix("\n").removesuffix("\r")
