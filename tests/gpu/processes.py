"""A part in a process of its own, which ends in its time with all that it has begun. For Linux: what a part has begun
is found in /proc, by a mark in the environment, which processes of other sessions inherit, too."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MARK = "BERTREF_GPU_PART"


class Ended(NamedTuple):
    """`code`: the exit status, negative the signal that ended it; None: it was ended because its time was up."""

    code: int | None
    seconds: float


def run(command: Sequence[str], seconds: float, log: Path, environment: Mapping[str, str]) -> Ended:
    """Runs a command, all that it prints in `log`; after `seconds`, and whenever this function is left, neither it nor
    a child of it is there any more."""
    mark = uuid.uuid4().hex
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env={**environment, MARK: mark},
            start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(mark)
            process.wait()
    return Ended(code, time.monotonic() - start)


def end(mark: str) -> None:
    """Kills every process with the mark."""
    while there := marked(mark):
        for pid in there:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def marked(mark: str) -> list[int]:
    """The processes whose environment has the mark, but for those that have ended."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # another user's, or it has ended
            continue
    return found
