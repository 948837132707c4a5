"""NumPy: the backend that is always there."""

from typing import Any

import array_api_compat.numpy as standard
import numpy as np

from ..arrays import Array
from ..errors import InputError
from .backend import Backend
from .namespace import Namespace


def add_rows(
    x: np.ndarray[Any, Any], index: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """`index_add` in NumPy, in order of `index`."""
    out = x.copy()
    np.add.at(out, index, values)
    return out


class NumpyNamespace(Namespace):
    """NumPy's functions; half precisions are only stored, never computed in."""

    def __init__(self) -> None:
        super().__init__(standard)
        self._by_name["float16"] = np.dtype("float16")
        self._by_name = {name: np.dtype(dtype) for name, dtype in self._by_name.items()}

    def erf(self, x: Array) -> Array:
        from math import erf

        return np.asarray(np.frompyfunc(erf, 1, 1)(x), dtype=x.dtype)

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        return add_rows(x, index, values)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: Any = None) -> Array:
        return np.asarray(array, dtype=self.dtype(dtype) if isinstance(dtype, str) else dtype)

    def dtype_name(self, dtype: Any) -> str:
        return np.dtype(dtype).name

    def synchronize(self) -> None:
        pass


def create(device: str | None) -> Backend:
    """NumPy on the CPU, its only device."""
    if device not in (None, "cpu"):
        raise InputError(f"backend 'numpy' has no device {device!r}; it computes on the CPU: numpy")
    return Backend("numpy", "", NumpyNamespace(), ("float32", "float64"), array_modules=("numpy",))
