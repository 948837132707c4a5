"""torch: its functions on the CPU, and which device is asked for. CUDA in cuda.py, XLA in xla.py; no autograd."""

import re
from functools import partial
from typing import Any

import array_api_compat.torch as standard
import numpy as np
import torch

from ...arrays import Array
from ...errors import BackendUnavailable, InputError
from ..backend import Backend
from ..namespace import HostArray, Namespace, widened_product
from .native import NativeDropout

HALVES = (torch.float16, torch.bfloat16)


def take(x: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """Without the compatibility layer's passes over the indices for negative ones."""
    return torch.index_select(x, axis, indices)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """For indices of any integer type; torch insists on int64."""
    return torch.take_along_dim(x, indices.long(), dim=axis)


class TorchNamespace(Namespace):
    """torch's functions on one device."""

    native: type[NativeDropout] = NativeDropout
    """Draws what dropout keeps by the generator of such a device."""

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
        return self._with_rows_added(wide, index, values.to(wide.dtype)).to(x.dtype)

    def _with_rows_added(self, x: Array, index: Array, values: Array) -> Array:
        """`index_add` of one full type."""
        return x.index_add(0, index, values)

    def product(self, a: Array, b: Array) -> Array:
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
        return self._sent(tensor.to(dtype=dtype))

    def _sent(self, tensor: torch.Tensor) -> Array:
        """From the host's memory to the device."""
        return tensor.to(self._device)

    def synchronize(self) -> None:
        """On the CPU torch has always finished."""


def device_of(array: Array) -> str:
    """ "cpu", "cuda", "cuda:1", "xla": number 0 is not written."""
    kind, index = array.device.type, array.device.index or 0
    return f"{kind}:{index}" if index else kind


def _on_xla(index: int | None) -> TorchNamespace:
    try:
        from . import xla
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'torch:xla': {first_line(error)}; pip install torch_xla, in the version of torch"
        ) from error
    return xla.namespace(index)


def _on_cuda(index: int | None) -> TorchNamespace:
    from . import cuda

    assert index is not None  # "all" is of xla alone
    return cuda.namespace(index)


def first_line(error: BaseException) -> str:
    """Of its message, or its class's name."""
    return (str(error) or type(error).__name__).partition("\n")[0]


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
        namespace = _on_cuda(index)
    else:
        namespace = TorchNamespace(torch.device("cpu"))
    return Backend(
        "torch",
        kind if index == 0 else f"{kind}:{'all' if index is None else index}",
        namespace,
        ("float16", "bfloat16", "float32", "float64"),
        static_shapes=kind == "xla",
        native=partial(namespace.native, namespace._device),
        array_modules=("torch",),
        device_of=device_of,
    )
