"""torch on CUDA (ROCm builds call it so, too): what is done otherwise than on the CPU."""

from collections.abc import Callable

import torch

from ...arrays import Array
from ...errors import BackendUnavailable, InputError
from ..namespace import HostArray
from .backend import HALVES, TorchNamespace, first_line

MM_WITH_DTYPE = hasattr(torch.ops.aten.mm, "dtype")
"""Whether `torch.mm` has `out_dtype` (since 2.8, on CUDA): a product of halves in float32, at the speed of halves."""
PAGE_LOCKED = 1 << 26
"""Bytes up to which an array is sent by way of page-locked memory, so that the host doesn't wait for the device; torch
keeps as much of it as was ever on the way at once."""


class CudaNamespace(TorchNamespace):
    """torch's functions on a GPU."""

    asynchronous = True

    def _with_rows_added(self, x: Array, index: Array, values: Array) -> Array:
        """index_add_ uses atomics here; index_put_ sorts the indices and sums each row in order."""
        return x.index_put((index.long(),), values, accumulate=True)

    def product(self, a: Array, b: Array) -> Array:
        if a.dtype in HALVES and b.ndim == 2 and MM_WITH_DTYPE:
            rows = torch.mm(a.reshape(-1, a.shape[-1]), b, out_dtype=torch.float32)
            return rows.reshape(*a.shape[:-1], b.shape[-1])
        return super().product(a, b)

    def fetch(self, x: Array) -> Callable[[], HostArray]:
        host, copied = x.to("cpu", non_blocking=True), torch.cuda.Event()
        copied.record(torch.cuda.current_stream(self._device))

        def values() -> HostArray:
            copied.synchronize()
            return self.to_numpy(host)

        return values

    def _sent(self, tensor: torch.Tensor) -> Array:
        if tensor.nbytes > PAGE_LOCKED:
            return super()._sent(tensor)
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)


def namespace(index: int) -> CudaNamespace:
    """The functions on GPU number `index`. It must compute a sum, because a driver can list one that can't; else
    `BackendUnavailable`. `InputError` where there are not so many."""
    if not torch.backends.cuda.is_built():
        raise BackendUnavailable(
            f"backend 'torch:cuda': torch {torch.__version__} is a CPU-only build; "
            "install a CUDA build, see https://pytorch.org/get-started"
        )
    try:
        torch.cuda.init()  # its error tells a missing driver from an old one and from a missing device
        count = torch.cuda.device_count()
        if index < count:
            (torch.ones(2, device=torch.device("cuda", index)) + 1).cpu()
    except (RuntimeError, AssertionError) as error:
        raise BackendUnavailable(f"backend 'torch:cuda': {first_line(error)}") from error
    if index >= count:
        raise InputError(f"backend 'torch': there is no GPU {index}; {count} are visible, counted from 0")
    return CudaNamespace(torch.device("cuda", index))
