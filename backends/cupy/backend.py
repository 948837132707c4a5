"""CuPy: one CUDA GPU. The import works without a GPU; `create` proves that the device computes."""

from collections.abc import Callable
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import array_api_compat.cupy as standard
import cupy
import cupyx
import numpy as np
from cupyx.scipy.special import erf

from ...arrays import Array
from ...errors import BackendUnavailable, InputError
from .. import gpus, half
from ..backend import Backend
from ..host_arrays import native
from ..namespace import HostArray, Namespace, widened_product
from .kernels import kernels, updates
from .kernels.loaded import CupyDevice
from .kernels.philox import Drawn
from .order import sorted_rows
from .products import Products

INDEX_ADD = r"""
// One thread owns one element of the result and adds that row's values in order: no atomics, so no chance.
// order: the rows of values, sorted by the row they go to; first[r] .. first[r + 1]: those that go to row r.
extern "C" __global__ void index_add(const REAL* x, const REAL* values, const long long* order,
                                     const long long* first, REAL* out, long long rows, long long width)
{
    long long i = (long long) blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * width) return;
    long long row = i / width, column = i % width;
    REAL sum = x[i];
    for (long long k = first[row]; k < first[row + 1]; ++k) sum += values[order[k] * width + column];
    out[i] = sum;
}
"""
REALS = {"float32": "float", "float64": "double"}
THREADS = 256

NO_DEVICE, DRIVER_TOO_OLD = 100, 35  # cudaErrorNoDevice, cudaErrorInsufficientDriver


class CupyNamespace(Namespace):
    """CuPy's functions; arrays are made on the current device.

    CuPy compiles all kernels, these as well, with -ftz=true: denormal numbers of float32 are zeros to them.
    """

    asynchronous = True

    def __init__(self) -> None:
        super().__init__(standard)
        self._name_dtypes({name: np.dtype(dtype) for name, dtype in (self._by_name | half.dtypes()).items()})
        self.finfo = half.finfo_with_bfloat16(standard.finfo)
        self.matmul = self._matmul
        self._products = Products(
            cupy, lambda array: int(array.data.ptr), _cublas, lambda: cupy.cuda.device.get_cublas_handle()
        )
        self._index_add = {
            name: cupy.RawKernel(INDEX_ADD, "index_add", options=(f"-DREAL={real}",)) for name, real in REALS.items()
        }
        self._on_the_way: list[tuple[Any, HostArray]] = []

    def _matmul(self, x1: Array, x2: Array, /) -> Array:
        """The product. CuPy multiplies stacks of float16 in float32 and refuses those of bfloat16: cuBLAS does not."""
        if max(x1.ndim, x2.ndim) > 2 and half.is_half(x1.dtype):
            if self._products.serves(x1, x2):
                return self._products(x1, x2, x1.dtype)
            if x1.dtype == x2.dtype:
                return standard.matmul(x1.astype(np.float32), x2.astype(np.float32)).astype(x1.dtype)
        return standard.matmul(x1, x2)

    def erf(self, x: Array) -> Array:
        return erf(x.astype(np.float32)).astype(x.dtype) if half.is_half(x.dtype) else erf(x)

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        if half.is_half(x.dtype):
            return self.index_add(x.astype(np.float32), index, values).astype(x.dtype)
        if x.size == 0 or index.size == 0:
            return x.copy()
        rows, width = x.shape[0], x.size // x.shape[0]
        order, first = sorted_rows(cupy, index, rows)
        x = cupy.ascontiguousarray(x)
        values = cupy.ascontiguousarray(values, dtype=x.dtype)
        out = cupy.empty_like(x)
        arguments = (x, values, order, first, out, np.int64(rows), np.int64(width))
        self._index_add[x.dtype.name]((-(-x.size // THREADS),), (THREADS,), arguments)
        return out

    def product(self, a: Array, b: Array) -> Array:
        return self._products(a, b, np.float32) if self._products.serves(a, b) else widened_product(self, a, b)

    def to_numpy(self, x: Array) -> HostArray:
        array: HostArray = cupy.asnumpy(x)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array

    def fetch(self, x: Array) -> Callable[[], HostArray]:
        """Into page-locked memory, which CuPy would hand out again if nobody held it until the copy has come."""
        host, copied = cupyx.empty_pinned(x.shape, x.dtype), cupy.cuda.Event(disable_timing=True)
        x.get(out=host, blocking=False)
        copied.record()
        self._on_the_way = [(event, held) for event, held in self._on_the_way if not event.done]
        self._on_the_way.append((copied, host))

        def values() -> HostArray:
            copied.synchronize()
            found: HostArray = host
            return found.astype(np.float32) if found.dtype.name == "bfloat16" else found

        return values

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        if isinstance(dtype, str):
            dtype = self.dtype(dtype)
        return cupy.asarray(native(array), dtype=dtype)

    def dtype_name(self, dtype: Any) -> str:
        return super().dtype_name(np.dtype(dtype))

    def synchronize(self) -> None:
        cupy.cuda.get_current_stream().synchronize()


@cache
def _cublas() -> Any:
    """CuPy's binding of cuBLAS, which is loaded when it is first asked for."""
    from cupy_backends.cuda.libs import cublas

    return cublas


def device_of(array: Array) -> str:
    """ "0", "1", ... as CUDA counts the GPUs; number 0 is not written."""
    return str(array.device.id) if array.device.id else ""


def _why(error: Exception) -> str:
    """The cause of a CUDA error in words."""
    runtime = cupy.cuda.runtime
    if isinstance(error, runtime.CUDARuntimeError):
        if error.status == NO_DEVICE:
            return "no CUDA device is visible (is there one? does CUDA_VISIBLE_DEVICES hide it?)"
        if error.status == DRIVER_TOO_OLD:
            driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
            if driver == 0:
                return "no NVIDIA driver is installed, or this process can't reach it"
            return (f"the NVIDIA driver is too old: it supports CUDA {gpus.number(driver)}, "
                    f"cupy {cupy.__version__} needs {gpus.number(needed)}")  # fmt: skip
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"


def devices() -> list[str]:
    """The visible GPUs in words; `BackendUnavailable` names the cause where CUDA can't be used."""
    runtime = cupy.cuda.runtime
    try:
        each = [runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount())]
        return [gpus.described(p["name"].decode(), p["totalGlobalMem"], (p["major"], p["minor"])) for p in each]
    except Exception as error:
        raise BackendUnavailable(f"backend 'cupy': {_why(error)}") from error


def create(device: str | None) -> Backend:
    """CuPy on GPU number `device` (default "0"), which becomes the current device of this thread.

    Raises `InputError` where that is not a number or there are not so many GPUs, `BackendUnavailable` where
    CUDA can't be used. A sum of two numbers is computed: the driver can list a GPU that can't compute.
    """
    if not (device or "0").isdecimal():
        raise InputError(f"backend 'cupy' has no device {device!r}; GPUs are numbered: cupy:0, cupy:1, ...")
    index, count = int(device or 0), len(devices())
    if index >= count:
        raise InputError(f"backend 'cupy': there is no GPU {index}; {count} are visible, counted from 0")
    try:
        cupy.cuda.Device(index).use()
        (cupy.ones(2) + 1).get()
        namespace = CupyNamespace()
    except Exception as error:
        raise BackendUnavailable(f"backend 'cupy': GPU {index} does not compute: {_why(error)}") from error
    dtypes = (*half.dtypes(), "float32", "float64")
    spec = str(index) if index else ""
    gpu = CupyDevice()
    return Backend(
        "cupy", spec, namespace, dtypes, kernels=MappingProxyType(kernels(gpu)),
        updates=MappingProxyType(updates(gpu)), draw=partial(Drawn, gpu), array_modules=("cupy",),
        device_of=device_of,
    )  # fmt: skip
