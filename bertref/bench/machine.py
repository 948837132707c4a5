"""The machine that a race ran on, as plain values."""

import os
import platform
from typing import Any

from ..backends.report import blas, cpu


def load() -> float | None:
    """The load average of the last minute where the system tells: above the cores, the figures are disturbed."""
    average = getattr(os, "getloadavg", None)
    return float(average()[0]) if average else None


def machine(used_threads: int) -> dict[str, Any]:
    """CPU, cores, threads of each side, the system, Python, BLAS, and how busy it was."""
    found = cpu()
    return {
        "cpu": found["model"], "cores": found["usable"], "threads": used_threads, "system": platform.platform(),
        "python": platform.python_version(), "blas": blas(), "load": load(),
    }  # fmt: skip
