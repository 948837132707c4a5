"""Files and folders that are there whole or not at all.

A file is written under a temporary name beside its own, flushed to the disk, and renamed; a folder likewise. A rename
within one file system is atomic, so a killed process leaves the old version or the new one, and at most a temporary
folder (`.tmp-...`) that the next run removes.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import InputError

PREFIX = ".tmp-"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write a file to: it replaces `path` when the block ends, and is removed if it fails.

    Raises `InputError` if the disk refuses; the old file is then untouched.
    """
    temporary = path.with_name(f"{PREFIX}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Replaces `path` by `data`. Raises `InputError` if the disk refuses; the old file is then untouched."""
    write_chunks(path, [data])


def write_chunks(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """As `write_file`, for what is too large to be held in one piece."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes the folder `path`, which must not exist, with what `fill(temporary folder)` writes into it.

    Raises `InputError` if the disk refuses (full, read-only); nothing is left behind then.
    """
    temporary = path.with_name(f"{PREFIX}{os.getpid()}-{path.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as opened:
                    os.fsync(opened.fileno())
        _sync_folder(temporary)
        os.rename(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed runs left half-written in `folder`."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: can't be written ({error.strerror or error}); what was there before is untouched. "
        "Make room, or choose another place"
    )


def _sync_folder(path: Path) -> None:
    if os.name == "posix":  # elsewhere a folder can't be opened
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
