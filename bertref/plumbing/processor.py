"""What the system says of the processor."""

import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def first_processor(path: Path = CPUINFO) -> dict[str, str]:
    """What the file says of the first processor, by name; nothing where there is no such file."""
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():
                    break
                name, _, value = line.partition(":")
                found[name.strip()] = value.strip()
    except OSError:
        return {}
    return found


def usable_cores() -> int:
    """Those that this process may run on, where the system says it; else all."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
