"""torch on XLA devices (torch_xla): where its numbers differ from torch's, they are put right here.

Two differences stay, both of the CPU device: denormal numbers are flushed to zero, and each new shape costs a
compilation.

Work is traced and runs, as one program, where a value is asked for or fetched: a training step is one. "xla:all" takes
all devices of the machine as one: the compiler shares the work out along the batch, whose arrays lie in equal parts on
all devices (SPMD; Xu et al. 2021, "GSPMD").
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch_xla
import torch_xla.runtime
from torch_xla.core import xla_model

from ...arrays import Array
from ...errors import BackendUnavailable
from ..erf import erf_standard
from ..namespace import HostArray
from . import backend as torch_backend
from .backend import HALVES, TorchNamespace, first_line
from .native import LANES, NativeDropout


class XlaDropout(NativeDropout):
    """XLA's generator is one a device, which has a state and no name. Where it begins is an input of the program."""

    def _kept(self, start: int, threshold: int, shape: tuple[int, ...]) -> Array:
        xla_model.set_rng_state(start, str(self._device))
        return torch.rand(shape, device=self._device) >= threshold / LANES


class XlaNamespace(TorchNamespace):
    """torch's functions on an XLA device."""

    asynchronous = True
    native = XlaDropout

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._full: Any = vars(self)["full"]
        self.full = self._full_or_number
        self.max, self.tanh, self.take_along_axis = _max, _tanh, _take_along_axis

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        """A number is sent as an array of one element, to be an input of the program like any other: torch_xla makes a
        constant of a 0-d array of 0 or 1, and one input of two that have one value, and so other programs."""
        return super().from_numpy(array.reshape(array.shape or (1,)), dtype).reshape(array.shape)

    def _full_or_number(self, shape: Any, fill_value: float, **options: Any) -> Array:
        if shape == () and "dtype" in options:
            return self.from_numpy(np.asarray(fill_value), options["dtype"])
        return self._full(shape, fill_value, **options)

    def erf(self, x: Array) -> Array:
        """By our own polynomials, which XLA fuses: its float32 erf is 3.5 ulps off, they are 1."""
        if x.dtype in HALVES:
            return self.erf(x.float()).to(x.dtype)
        return erf_standard(self, x, self.dtype_name(x.dtype))

    def to_numpy(self, x: Array) -> HostArray:
        """After computing all that is pending, as one program: each array alone would compile its whole past again."""
        torch_xla.sync()
        return super().to_numpy(x)

    def fetch(self, x: Array) -> Callable[[], HostArray]:
        """Runs all that is pending, as one program, without waiting."""
        torch_xla.sync()
        return lambda: TorchNamespace.to_numpy(self, x)

    def synchronize(self) -> None:
        torch_xla.sync(wait=True)


class SharedNamespace(XlaNamespace):
    """torch's functions on all devices at once.

    What comes from the host in integers or decisions belongs to the batch (ids, places, masks, what dropout keeps): it
    is cut along its first axis where that goes into equal parts. Where an array lies changes no result.
    """

    def __init__(self, device: torch.device, devices: int) -> None:
        from torch_xla.distributed import spmd

        super().__init__(device)
        self._devices, self._spmd = devices, spmd
        self._mesh = spmd.Mesh(np.arange(devices), (devices,), ("batch",))

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        sent = super().from_numpy(array, dtype)
        if array.ndim and array.dtype.kind in "biu" and array.shape[0] and array.shape[0] % self._devices == 0:
            self._spmd.mark_sharding(sent, self._mesh, ("batch", *(None for _ in array.shape[1:])))
        return sent


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
    """XLA's float64 tanh levels off at 1 - 8e-16, for ±inf as well. With q = exp(-2|x|), tanh |x| is (1 - q)/(1 + q):
    near 0 by expm1, which keeps the digits of 1 - q, and near 1, where 1 - tanh² lives on the last digit, as 1 less
    what is lacking."""
    if x.dtype != torch.float64:
        return torch.tanh(x)
    size = torch.abs(x)
    less, q = torch.expm1(-2 * size), torch.exp(-2 * size)
    there = torch.where(size < 0.5, -less / (2 + less), 1 - 2 * q / (1 + q))
    return torch.where(x == 0, x, torch.sign(x) * there)  # torch_xla's copysign computes on the host


def _take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """torch_xla's gather fails where there is nothing to gather."""
    if indices.numel() == 0:
        return torch.zeros(indices.shape, dtype=x.dtype, device=x.device)
    return torch_backend.take_along_axis(x, indices, axis=axis)


def namespace(index: int | None) -> XlaNamespace:
    """The functions on XLA device number `index`, or, None, on all together. It must compute a sum; else
    `BackendUnavailable`. All together is a decision for the whole process, and can't be taken after the first sum."""
    try:
        if index is None:
            torch_xla.runtime.use_spmd()
        device: torch.device = torch_xla.device(index or None)
        (torch.ones(2, device=device) + 1).cpu()
    except RuntimeError as error:
        raise BackendUnavailable(f"backend 'torch:xla': {first_line(error)}") from error
    if index is None:
        return SharedNamespace(device, torch_xla.runtime.global_runtime_device_count())
    return XlaNamespace(device)
