"""The command line of whichever bertref PYTHONPATH names, outside of the checkout: in this process, or in its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ..cli_helpers import Done, in_process

HERE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}


def bertref(*arguments: str | Path, cwd: Path | None = None, stdin: str = "", **extra: str) -> Done:
    """Runs `bertref ARGUMENTS`; returns what it printed and its exit code."""
    return in_process(*arguments, cwd=cwd or Path(tempfile.gettempdir()), stdin=stdin, **extra)


def bertref_process(
    *arguments: str | Path, cwd: Path | None = None, stdin: str | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own: for what depends on the environment, on pipes, or on modules once imported."""
    command = [sys.executable, "-c", "from bertref.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd or tempfile.gettempdir(), input=stdin, capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, **HERE, **extra}, timeout=300,
    )  # fmt: skip
