"""The products of NumPy's kernels, for who measures them."""

from .namespace import HostArray


def by_mkl() -> bool:
    """Whether MKL makes them (see `kernels.mkl`), and not NumPy's own BLAS."""
    from .kernels import mkl

    return mkl.library() is not None


def multiply(a: HostArray, b: HostArray, out: HostArray, threads: int) -> None:
    """out = a b for matrices, as a kernel has it made; NumPy's own BLAS decides about its threads itself."""
    from .kernels import dense

    dense.multiply(a, b, out, threads)
