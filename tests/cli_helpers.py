"""Running the real command line, in real processes or in this one."""

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock


def environment(**extra: str) -> dict[str, str]:
    """The surroundings of a test process: one thread, so that processes don't fight over two cores."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "120", **extra}  # fmt: skip


def beside_the_load(stderr: str) -> str:
    """What a command said on standard error, without the line on the tensors that a model was loaded from."""
    lines = stderr.splitlines()
    return "\n".join(line for line in lines if not re.fullmatch(r".*: \d+ read.*; \d+ missing, \d+ unused", line))


def command(*arguments: str) -> list[str]:
    """The command line of `bertref ARGUMENTS` in this interpreter."""
    return [sys.executable, "-c", "from bertref.cli import main; main()", *map(str, arguments)]


def bertref(
    *arguments: str, cwd: Path | None = None, stdin: str | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Runs `bertref ARGUMENTS` and returns what it printed and its exit code."""
    return subprocess.run(
        command(*arguments), cwd=cwd, input=stdin, capture_output=True, text=True, encoding="utf-8",
        env=environment(**extra), timeout=300,
    )  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What a call of the command line in this process printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def in_process(*arguments: str | Path, cwd: Path | None = None, stdin: str = "", **extra: str) -> Done:
    """As `bertref`, but in this process, without the second in which a new one loads what this one has: for what a
    command does and says, not for what a process is. Variables of the environment are as before afterwards."""
    from bertref.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    code = 0
    with (
        mock.patch.dict(os.environ, extra), mock.patch.object(sys, "argv", ["bertref", *map(str, arguments)]),
        mock.patch.object(sys, "stdin", given), contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))
