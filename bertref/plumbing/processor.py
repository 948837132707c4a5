"""What Linux says of the processor."""

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
