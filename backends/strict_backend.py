"""array-api-strict: NumPy's numbers behind the bare standard. For tests: what runs here needs nothing of any library.

Boolean indexing and data-dependent shapes are switched off (for the whole process: the switch is the library's), so
what runs here can also be compiled.
"""

from typing import Any

import array_api_strict as standard
import numpy as np

from ..arrays import Array
from ..errors import InputError
from .backend import Backend
from .namespace import Namespace
from .numpy_backend import add_rows


class StrictNamespace(Namespace):
    """The standard and nothing else; the extras go through NumPy."""

    def __init__(self) -> None:
        super().__init__(standard)

    def erf(self, x: Array) -> Array:
        from math import erf

        array = self.to_numpy(x)
        return self.from_numpy(np.asarray(np.frompyfunc(erf, 1, 1)(array), dtype=array.dtype))

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        return self.from_numpy(add_rows(self.to_numpy(x), self.to_numpy(index), self.to_numpy(values)))

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)

    def from_numpy(self, array: np.ndarray[Any, Any], dtype: Any = None) -> Array:
        x = standard.asarray(array)
        if dtype is None:
            return x
        return standard.astype(x, self.dtype(dtype) if isinstance(dtype, str) else dtype)

    def synchronize(self) -> None:
        pass


def create(device: str | None) -> Backend:
    """array-api-strict, which has no devices worth the name."""
    if device not in (None, "cpu"):
        raise InputError(f"backend 'strict' has no device {device!r}: strict")
    standard.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
    return Backend(
        "strict", "", StrictNamespace(), ("float32", "float64"), array_modules=("array_api_strict",)
    )
