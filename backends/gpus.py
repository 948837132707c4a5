"""What GPUs are there, with what driver and which of CUDA's libraries, and how several processes can talk.

Asked of an imported torch or CuPy, in the process that tries the backend (`probe`).
"""

import importlib.util
import re
import warnings
from pathlib import Path
from typing import Any

DRIVER_FILE = Path("/proc/driver/nvidia/version")
"""Where Linux's driver says which release it is."""
NONE = "none in this build"


def described(name: str, memory: int, capability: tuple[int, int]) -> str:
    """A GPU in words; `memory` in bytes."""
    return f"{name} ({memory / 2**30:.0f} GiB, compute capability {capability[0]}.{capability[1]})"


def number(version: int) -> str:
    """CUDA writes 13.2 as 13020."""
    return f"{version // 1000}.{version % 1000 // 10}"


def release() -> str | None:
    """Of NVIDIA's driver, None without one."""
    try:
        text = DRIVER_FILE.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return found[1] if found else None


def of_torch(torch: Any) -> dict[str, str]:
    """torch's CUDA and NCCL, the driver, and what connects processes."""
    cuda = torch.version.cuda
    found = {"CUDA": str(cuda) if cuda else NONE}
    if driver := release():
        found["driver"] = driver
    distributed = torch.distributed
    here = distributed.is_available()
    nccl = bool(cuda) and here and distributed.is_nccl_available()
    found["NCCL"] = ".".join(map(str, torch.cuda.nccl.version())) if nccl else NONE
    ways = [way for way in ("gloo", "nccl", "mpi") if here and getattr(distributed, f"is_{way}_available")()]
    started = importlib.util.find_spec("torch.distributed.run") is not None
    found["processes"] = f"{'torchrun' if started else 'no torchrun'}, over {' and '.join(ways) or 'nothing'}"
    return found


def of_cupy(cupy: Any) -> dict[str, str]:
    """CuPy's CUDA and NCCL, and the driver, if there is one."""
    runtime = cupy.cuda.runtime
    driver, found = runtime.driverGetVersion(), {"CUDA": number(runtime.runtimeGetVersion())}
    if driver:
        found["driver"] = f"{release() or 'of an unknown release'}, up to CUDA {number(driver)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library that isn't there
            from cupy.cuda import nccl

            found["NCCL"] = str(nccl.get_version())
    except Exception:  # the module can't be imported, or does not know its version
        found["NCCL"] = "not installed"
    return found
