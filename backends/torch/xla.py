"""torch on XLA devices (torch_xla): where its numbers differ from torch's, they are put right here.

Two differences stay, both of the CPU device: denormal numbers are flushed to zero, and each new shape costs a
compilation.
"""

import torch
import torch_xla

from ...arrays import Array
from ...errors import BackendUnavailable
from ..erf import erf_standard
from ..namespace import HostArray
from . import backend as torch_backend
from .backend import HALVES, TorchNamespace


class XlaNamespace(TorchNamespace):
    """torch's functions on an XLA device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.max, self.tanh, self.take_along_axis = _max, _tanh, _take_along_axis

    def erf(self, x: Array) -> Array:
        """By our own polynomials, which XLA fuses: its float32 erf is 3.5 ulps off, they are 1."""
        if x.dtype in HALVES:
            return self.erf(x.float()).to(x.dtype)
        return erf_standard(self, x, self.dtype_name(x.dtype))

    def to_numpy(self, x: Array) -> HostArray:
        """After computing all that is pending, as one program: each array alone would compile its whole past again."""
        torch_xla.sync()
        return super().to_numpy(x)

    def synchronize(self) -> None:
        torch_xla.sync(wait=True)


def _max(x: Array, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The largest value. XLA's maximum starts from the lowest finite number and passes over NaN; the standard wants
    -inf where there is nothing else, and NaN where there is one."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if not axes:
        return x.clone()
    largest = torch.amax(x, axes, keepdim=keepdims)
    if not x.dtype.is_floating_point:
        return largest
    above = torch.amax((x > -torch.inf).to(torch.int32), axes, keepdim=keepdims) > 0
    unknown = torch.amax(torch.isnan(x).to(torch.int32), axes, keepdim=keepdims) > 0
    return torch.where(unknown, torch.nan, torch.where(above, largest, -torch.inf))


def _tanh(x: Array, /) -> Array:
    """XLA's float64 tanh levels off at 1 - 8e-16, for ±inf as well; with expm1 it reaches ±1."""
    if x.dtype != torch.float64:
        return torch.tanh(x)
    e = torch.expm1(-2 * torch.abs(x))
    return torch.copysign(-e / (2 + e), x)


def _take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """torch_xla's gather fails where there is nothing to gather."""
    if indices.numel() == 0:
        return torch.zeros(indices.shape, dtype=x.dtype, device=x.device)
    return torch_backend.take_along_axis(x, indices, axis=axis)


def namespace(index: int) -> XlaNamespace:
    """The functions on XLA device number `index`, which must compute a sum; else `BackendUnavailable`."""
    try:
        device: torch.device = torch_xla.device(index or None)
        (torch.ones(2, device=device) + 1).cpu()
    except RuntimeError as error:
        raise BackendUnavailable(f"backend 'torch:xla': {str(error).splitlines()[0]}") from error
    return XlaNamespace(device)
