"""The product of two matrices as the kernels have it made: by MKL where it serves, else by NumPy's own BLAS."""

import numpy as np

from ...namespace import HostArray
from ..threads import blas_on_one_thread
from . import mkl

SMALL = 1 << 20
"""Multiplications of a product that one thread makes, and that are not worth asking another library for."""


def multiply(a: HostArray, b: HostArray, out: HostArray, threads: int) -> None:
    """out = a b, on at most so many threads where that can be said: MKL is told at every product, OpenBLAS by
    `threads`."""
    if out.size * a.shape[1] < SMALL:
        with blas_on_one_thread():
            np.matmul(a, b, out=out)
    elif not mkl.multiply(a, b, out, threads):
        np.matmul(a, b, out=out)
