"""Running the real command line in real processes."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


def in_process(capsys: Any, monkeypatch: Any, *arguments: str) -> Done:
    """As `bertref`, but without the seconds that a new process takes: for messages, not for what a process is."""
    from bertref.cli import main

    monkeypatch.setattr(sys, "argv", ["bertref", *arguments])
    monkeypatch.setenv("COLUMNS", "120")
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    return Done(code, printed.out, printed.err)
