"""How many CPU threads NumPy's products and kernels share (`kernels.threads` has the pool itself)."""


def use(threads: int | None) -> None:
    """So many from now on; None: what OPENBLAS_NUM_THREADS or OMP_NUM_THREADS say, else all cores.

    Results don't depend on it, not even in their last bit. Raises `ValueError` for less than one.
    """
    from .kernels import threads as pool

    pool.use(threads)


def count() -> int:
    """How many they are."""
    from .kernels import threads as pool

    return pool.count()
