"""The machine that a race ran on, as plain values."""

import os
import platform
from typing import Any

from ..backends.report import report

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def threads() -> int:
    """How many threads a side takes unless it is told: what `VARIABLES` say, else every core that may be used."""
    for name in VARIABLES:
        said = os.environ.get(name, "").strip()
        if said.isdecimal() and int(said) > 0:
            return int(said)
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
