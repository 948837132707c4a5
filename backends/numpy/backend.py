"""NumPy: the backend that is always there."""

from types import MappingProxyType
from typing import Any

import numpy as np

from ...arrays import Array
from ...errors import InputError
from .. import half
from ..backend import Backend
from ..erf import erf_numpy
from ..host_arrays import add_rows, native
from ..namespace import HostArray, Namespace, widened_product
from .blas.frozen import freeze
from .kernels import KERNELS, UPDATES
from .threads import run


class NumpyNamespace(Namespace):
    """NumPy's functions, which follow the standard by themselves since 2.1; array-api-compat would load all of NumPy's
    other modules, a quarter of a prediction's start. Half precisions are stored rather than computed in: NumPy does
    that very slowly."""

    def __init__(self) -> None:
        super().__init__(np)
        self._name_dtypes({name: np.dtype(dtype) for name, dtype in (self._by_name | half.dtypes()).items()})
        self.finfo = half.finfo_with_bfloat16(np.finfo)

    def erf(self, x: Array) -> Array:
        return erf_numpy(x)

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        return add_rows(x, index, values)

    def product(self, a: Array, b: Array) -> Array:
        return widened_product(self, a, b)

    def to_numpy(self, x: Array) -> HostArray:
        return x.astype(np.float32) if x.dtype.name == "bfloat16" else np.asarray(x)

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        return np.asarray(native(array), dtype=self.dtype(dtype) if isinstance(dtype, str) else dtype)

    def dtype_name(self, dtype: Any) -> str:
        return super().dtype_name(np.dtype(dtype))

    def synchronize(self) -> None:
        """NumPy has always finished."""


def create(device: str | None) -> Backend:
    """NumPy on the CPU, its only device; `InputError` for any other."""
    if device not in (None, "cpu"):
        raise InputError(f"backend 'numpy' has no device {device!r}; it computes on the CPU: numpy")
    return Backend(
        "numpy", "", NumpyNamespace(), ("float32", "float64"),
        kernels=MappingProxyType(KERNELS), updates=MappingProxyType(UPDATES), share=run, freeze=freeze,
        array_modules=("numpy",),
    )  # fmt: skip
