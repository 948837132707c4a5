"""Whether a process works in a folder: it holds a lock (`flock`) on a file there until it ends, however it ends.

The lock is on a file that the folder has anyway, and the system gives it back with the process, a killed one too, so
nothing is left behind. Windows and some network file systems have no such locks; there nobody is kept out.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

if sys.platform != "win32":
    import fcntl

SYSTEM_LOCKS = Path("/proc/locks")
"""Linux's list of who holds which lock: "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF"."""


@contextmanager
def in_use(file: Path) -> Iterator[bool]:
    """Holds a folder by its `file` while the block runs; whether there are such locks.

    Raises `InputError`, naming the process, if another one holds it.
    """
    if sys.platform == "win32":  # where a file that is open can't be removed either
        yield False
        return
    with open(file, "rb+") as opened:
        yield _locked(file, opened)


def _locked(file: Path, opened: BinaryIO) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{file.parent}: is in use by {_holder(file)}; wait until that has ended, or choose another --out"
        ) from None
    except OSError:
        return False
    return True


def _holder(file: Path) -> str:
    """The process that holds the lock, as far as the system tells."""
    try:
        rows = [line.split() for line in SYSTEM_LOCKS.read_text(encoding="utf-8").splitlines()]
        inode = file.stat().st_ino
    except OSError:
        return "another process"
    holders = {row[4] for row in rows if row[1] == "FLOCK" and row[5].endswith(f":{inode}")}
    return f"process {holders.pop()}" if len(holders) == 1 else "another process"
