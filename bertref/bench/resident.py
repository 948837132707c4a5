"""The memory that this process holds: resident bytes, now and at most.

Linux can forget the peak, so that what only the set-up needed does not count; elsewhere the peak is the whole
process's.
"""

import contextlib
import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _status(name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return None


def _getrusage() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak() -> int:
    """The most bytes since `forget_peak` worked, or since the process began."""
    found = _status("VmHWM")
    return _getrusage() if found is None else found


def resident() -> int:
    """Bytes now; where the system does not say, the peak."""
    found = _status("VmRSS")
    return _getrusage() if found is None else found


def forget_peak() -> bool:
    """Begins the peak anew; False where the system can't."""
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
