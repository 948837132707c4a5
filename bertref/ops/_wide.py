"""Accumulation: sums that would lose precision in 16 bits are taken in float32."""

from ..arrays import Array, Namespace


def wide(xp: Namespace, x: Array) -> Array:
    """x in at least float32: unchanged in float32 and float64, converted from float16 and bfloat16."""
    return xp.astype(x, xp.float32) if xp.finfo(x.dtype).bits < 32 else x


def sum_rows(xp: Namespace, x: Array) -> Array:
    """The sum over all axes but the last, (..., H) -> (H,), accumulated in at least float32."""
    return xp.sum(wide(xp, xp.reshape(x, (-1, x.shape[-1]))), axis=0)
