"""The command line in a process of its own, outside of the checkout, so that PYTHONPATH decides whose it is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}


def bertref(
    *arguments: str | Path, cwd: Path | None = None, stdin: str | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Runs `bertref ARGUMENTS`; returns what it printed and its exit code."""
    command = [sys.executable, "-c", "from bertref.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd or tempfile.gettempdir(), input=stdin, capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, **HERE, **extra}, timeout=300,
    )  # fmt: skip
