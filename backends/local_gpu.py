"""Which GPU is a process's own, where torchrun has started several processes on a machine.

Options are the same in all of them, and name the GPU of none.

Source: docs.pytorch.org, "torchrun (Elastic Launch)".
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

COUNTS: Mapping[str, Callable[[Any], int]] = {
    "torch:cuda": lambda torch: torch.cuda.device_count(),
    "cupy": lambda cupy: cupy.cuda.runtime.getDeviceCount(),
}
"""What names a GPU by no number -> how many there are, asked of its library."""


def local(spec: str, environment: Mapping[str, str] = os.environ) -> str:
    """What `spec` means in this process, as `get` takes it. One of several that torchrun has started takes the GPU
    whose number is LOCAL_RANK, from 0 on again where the machine has fewer, unless `spec` names a number."""
    rank = environment.get("LOCAL_RANK", "")
    if spec not in COUNTS or environment.get("WORLD_SIZE", "") in ("", "1") or not rank.isdecimal():
        return spec
    try:
        count = COUNTS[spec](importlib.import_module(spec.partition(":")[0]))
    except Exception:  # no library, or no GPU: `get` knows what to say of it
        return spec
    return f"{spec}:{int(rank) % count}" if count else spec
