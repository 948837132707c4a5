"""The Euclidean norm of an array, accumulated in at least float32; and an array made shorter."""

from ..arrays import Array, Namespace


def squared_norm(xp: Namespace, a: Array) -> Array:
    """Σ a², a 0-d array in float32, or float64 if `a` is: the squares of float16 overflow from 256 on."""
    wide = a if a.dtype == xp.float64 else xp.astype(a, xp.float32, copy=False)
    return xp.sum(wide * wide)


def scaled(xp: Namespace, a: Array, factor: Array) -> Array:
    """a times a 0-d array, in a's type."""
    return a * xp.astype(factor, a.dtype, copy=False)
