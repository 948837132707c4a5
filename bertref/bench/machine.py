"""The machine that a race ran on, as plain values."""

import os
import platform
from typing import Any

from ..backends.report import report


def load() -> float | None:
    """The load average of the last minute where the system tells: above the cores, the figures are disturbed."""
    average = getattr(os, "getloadavg", None)
    return float(average()[0]) if average else None


def machine(used_threads: int) -> dict[str, Any]:
    """CPU, cores, threads of each side, the system, Python, BLAS, and how busy it was."""
    found = report()
    return {
        "cpu": found["cpu"]["model"], "cores": found["cpu"]["usable"], "threads": used_threads,
        "system": found["versions"]["system"], "python": platform.python_version(), "blas": found["blas"],
        "load": load(),
    }  # fmt: skip
