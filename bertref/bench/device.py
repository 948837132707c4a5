"""How much memory of a GPU each side of a race took there.

What is counted is what the allocator of the side's library holds, CuPy's pool or torch's: neither gives memory back by
itself, so that is the peak, with what lies idle in blocks of other sizes. Memory of the libraries themselves (the
context, cuBLAS) is not in it.
"""

import gc
from typing import Any, Protocol

from .job import CPU, Job


class Allocator(Protocol):
    """What a side's library holds of a GPU's memory."""

    @property
    def device(self) -> str:
        """The GPU's name."""

    def forget(self) -> None:
        """Gives back what is not in use, and begins the peak anew."""

    def peak(self) -> int:
        """Bytes."""


def allocator(job: Job) -> Allocator | None:
    """That of a job's side; None where it computes on no GPU."""
    if job.device == CPU:
        return None
    index = int(job.device.partition(":")[2])
    ours = job.side in ("ours", "reference")
    return CupyPool(index) if ours and job.backend.partition(":")[0] == "cupy" else TorchAllocator(index)


class CupyPool:
    """CuPy's memory pool."""

    def __init__(self, index: int) -> None:
        import cupy

        self._pool: Any = cupy.get_default_memory_pool()
        self.device: str = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()

    def forget(self) -> None:
        gc.collect()
        self._pool.free_all_blocks()

    def peak(self) -> int:
        return int(self._pool.total_bytes())


class TorchAllocator:
    """torch's caching allocator."""

    def __init__(self, index: int) -> None:
        import torch

        self._cuda: Any = torch.cuda
        self._index = index
        self.device: str = torch.cuda.get_device_name(index)

    def forget(self) -> None:
        gc.collect()
        self._cuda.empty_cache()
        self._cuda.reset_peak_memory_stats(self._index)

    def peak(self) -> int:
        return int(self._cuda.max_memory_reserved(self._index))
