"""torch on the CPU and on CUDA (ROCm builds call it so, too); XLA devices in xla.py. Autograd is not used."""

import re
from typing import Any

import array_api_compat.torch as standard
import numpy as np
import torch

from ...arrays import Array
from ...errors import BackendUnavailable, InputError
from ..backend import Backend
from ..namespace import HostArray, Namespace, widened_product

HALVES = (torch.float16, torch.bfloat16)
MM_WITH_DTYPE = hasattr(torch.ops.aten.mm, "dtype")
"""Whether `torch.mm` has `out_dtype` (since 2.8, on CUDA): a product of halves in float32, at the speed of halves."""


def take(x: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """Without the compatibility layer's passes over the indices for negative ones."""
    return torch.index_select(x, axis, indices)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """For indices of any integer type; torch insists on int64."""
    return torch.take_along_dim(x, indices.long(), dim=axis)


class TorchNamespace(Namespace):
    """torch's functions on one device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(standard, device)
        self._device = device
        self.take, self.take_along_axis = take, take_along_axis

    def erf(self, x: Array) -> Array:
        if x.dtype in HALVES:
            return torch.erf(x.float()).to(x.dtype)
        return torch.erf(x)

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        wide = x.float() if x.dtype in HALVES else x
        values = values.to(wide.dtype)
        if x.device.type == "cuda":
            # index_add_ uses atomics there; index_put_ sorts the indices and sums each row in order
            return wide.index_put((index.long(),), values, accumulate=True).to(x.dtype)
        return wide.index_add(0, index, values).to(x.dtype)

    def product(self, a: Array, b: Array) -> Array:
        if a.device.type == "cuda" and a.dtype in HALVES and b.ndim == 2 and MM_WITH_DTYPE:
            rows = torch.mm(a.reshape(-1, a.shape[-1]), b, out_dtype=torch.float32)
            return rows.reshape(*a.shape[:-1], b.shape[-1])
        return widened_product(self, a, b)

    def to_numpy(self, x: Array) -> HostArray:
        x = x.detach().cpu()
        array: HostArray = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
        return array

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        if isinstance(dtype, str):
            dtype = self.dtype(dtype)
        if array.dtype.name == "bfloat16":  # ml_dtypes
            tensor = torch.from_numpy(np.array(array).view(np.uint16)).view(torch.bfloat16)
        else:
            # torch refuses negative strides and foreign byte order and warns about read-only memory
            array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
            tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        return tensor.to(self._device, dtype=dtype)

    def synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def device_of(array: Array) -> str:
    """ "cpu", "cuda", "cuda:1", "xla": number 0 is not written."""
    kind, index = array.device.type, array.device.index or 0
    return f"{kind}:{index}" if index else kind


def _check_cuda(index: int) -> None:
    """Allocate and add: a driver can list a GPU that can't compute."""
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
        raise BackendUnavailable(f"backend 'torch:cuda': {_first_line(error)}") from error
    if index >= count:
        raise InputError(f"backend 'torch': there is no GPU {index}; {count} are visible, counted from 0")


def _on_xla(index: int | None) -> TorchNamespace:
    try:
        from . import xla
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'torch:xla': {_first_line(error)}; pip install torch_xla, in the version of torch"
        ) from error
    return xla.namespace(index)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def create(device: str | None) -> Backend:
    """torch on "cpu" (the default), "cuda", "cuda:1", "xla", "xla:1", or on all XLA devices, "xla:all".

    `BackendUnavailable` where this machine or this build of torch can't; `InputError` for any other device.
    """
    device = device or "cpu"
    if not re.fullmatch(r"cpu|(cuda|xla)(:\d+)?|xla:all", device):
        raise InputError(f"backend 'torch' has no device {device!r}; there are cpu, cuda, cuda:1, xla, xla:all, ...")
    kind, _, which = device.partition(":")
    index = None if which == "all" else int(which or 0)
    if kind == "xla":
        namespace = _on_xla(index)
    elif kind == "cuda":
        assert index is not None  # "all" is of xla alone
        _check_cuda(index)
        namespace = TorchNamespace(torch.device("cuda", index))
    else:
        namespace = TorchNamespace(torch.device("cpu"))
    return Backend(
        "torch",
        kind if index == 0 else f"{kind}:{'all' if index is None else index}",
        namespace,
        ("float16", "bfloat16", "float32", "float64"),
        static_shapes=kind == "xla",
        array_modules=("torch",),
        device_of=device_of,
    )
