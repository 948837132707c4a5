"""Products of half types by cuBLAS as NVIDIA's library has them and CuPy's functions don't: of stacks of matrices, and
with a float32 result. Factors are multiplied exactly and summed in float32; the result is rounded once.

cuBLAS reads memory in column order. What is (m, n) = (m, k)(k, n) in row order is (n, m) = (n, k)(k, m) to it, in the
same memory, so it is given the factors in the other order and C's rows as columns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array

TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}
"""dtype -> CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF (library_types.h)."""
COMPUTE_32F, DEFAULT_ALGORITHM = 68, -1
"""CUBLAS_COMPUTE_32F and CUBLAS_GEMM_DEFAULT (cublas_api.h)."""
NORMAL, TRANSPOSED = 0, 1
"""CUBLAS_OP_N and CUBLAS_OP_T."""
ONE, ZERO = np.ones((), np.float32), np.zeros((), np.float32)
"""alpha and beta, which cuBLAS reads on the host."""


class Factor(NamedTuple):
    """A matrix, or a stack of them, as cuBLAS takes it: its memory, how it is to be read, and the elements from one row
    of that memory to the next."""

    array: Array
    operation: int
    leading: int


class Products:
    """`library` is the array module, cupy or numpy; `address` gives that of an array's first element; `cublas` has
    `gemmEx` and `gemmStridedBatchedEx` as in `cupy_backends.cuda.libs.cublas`, and `handle()` is what they are called
    with."""

    def __init__(
        self, library: Any, address: Callable[[Array], int], cublas: Callable[[], Any], handle: Callable[[], int]
    ) -> None:
        self._library, self._address, self._cublas, self._handle = library, address, cublas, handle

    def serves(self, a: Array, b: Array) -> bool:
        """a (..., M, K) and b (K, N), or two stacks (..., M, K) and (..., K, N) of as many matrices, in one half type,
        with at least one element each."""
        halves = a.dtype == b.dtype and a.dtype.name in ("float16", "bfloat16")
        stacks = a.ndim >= 2 and (b.ndim == 2 or (a.ndim == b.ndim and a.shape[:-2] == b.shape[:-2]))
        return halves and stacks and a.size > 0 and b.size > 0

    def __call__(self, a: Array, b: Array, dtype: Any) -> Array:
        """The product (..., M, N) in `dtype`, a half type or float32, in C order."""
        out = self._library.empty((*a.shape[:-1], b.shape[-1]), dtype=dtype)
        rows = a if a.ndim == 2 or b.ndim > 2 else a.reshape(-1, a.shape[-1])
        x, y = self._factor(rows), self._factor(b)
        m, k, n = rows.shape[-2], rows.shape[-1], b.shape[-1]
        types = TYPES[a.dtype.name], TYPES[out.dtype.name]
        operations = self._handle(), y.operation, x.operation, n, m, k, ONE.ctypes.data
        if b.ndim == 2:
            self._cublas().gemmEx(
                *operations, self._address(y.array), types[0], y.leading, self._address(x.array), types[0], x.leading,
                ZERO.ctypes.data, self._address(out), types[1], n, COMPUTE_32F, DEFAULT_ALGORITHM,
            )  # fmt: skip
        else:
            count = rows.size // (m * k)
            self._cublas().gemmStridedBatchedEx(
                *operations, self._address(y.array), types[0], y.leading, k * n, self._address(x.array), types[0],
                x.leading, m * k, ZERO.ctypes.data, self._address(out), types[1], n, m * n, count, COMPUTE_32F,
                DEFAULT_ALGORITHM,
            )  # fmt: skip
        return out

    def _factor(self, x: Array) -> Factor:
        """Without a copy if its matrices are one after the other in memory, in C order or transposed."""
        if x.flags.c_contiguous:
            return Factor(x, NORMAL, x.shape[-1])
        turned = x.swapaxes(-1, -2)
        if turned.flags.c_contiguous:
            return Factor(turned, TRANSPOSED, turned.shape[-1])
        if x.strides[-2] < x.strides[-1]:
            return Factor(self._library.ascontiguousarray(turned), TRANSPOSED, turned.shape[-1])
        return Factor(self._library.ascontiguousarray(x), NORMAL, x.shape[-1])
