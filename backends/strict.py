"""array-api-strict: NumPy's numbers behind the bare standard. For tests: what runs here needs nothing else of
a library.

Boolean indexing and data-dependent shapes are switched off (for the whole process: the switch is the
library's), so what runs here can also be compiled.
"""

from typing import Any

import array_api_strict as standard
import numpy as np

from ..arrays import Array
from ..errors import InputError
from .backend import Backend
from .erf import erf_standard
from .host_arrays import add_rows, native
from .namespace import HostArray, Namespace, widened_product


class StrictNamespace(Namespace):
    """The standard's functions; only what the standard can't say, `index_add`, goes through NumPy."""

    def __init__(self) -> None:
        super().__init__(standard)

    def erf(self, x: Array) -> Array:
        return erf_standard(self, x, self.dtype_name(x.dtype))

    def index_add(self, x: Array, index: Array, values: Array) -> Array:
        return standard.asarray(add_rows(self.to_numpy(x), self.to_numpy(index), self.to_numpy(values)))

    def product(self, a: Array, b: Array) -> Array:
        return widened_product(self, a, b)

    def to_numpy(self, x: Array) -> HostArray:
        return np.asarray(x)

    def from_numpy(self, array: HostArray, dtype: Any = None) -> Array:
        x = standard.asarray(native(array))
        if dtype is None:
            return x
        return standard.astype(x, self.dtype(dtype) if isinstance(dtype, str) else dtype)

    def synchronize(self) -> None:
        """NumPy, which does the work, has always finished."""


def create(device: str | None) -> Backend:
    """array-api-strict, which computes on the CPU; `InputError` for any other device."""
    if device not in (None, "cpu"):
        raise InputError(f"backend 'strict' has no device {device!r}; it computes on the CPU: strict")
    standard.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
    namespace, modules = StrictNamespace(), ("array_api_strict",)
    return Backend("strict", "", namespace, ("float32", "float64"), array_modules=modules)
