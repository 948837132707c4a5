"""Dropout: elements that are not kept become 0, the others are scaled so that the mean stays.

    y = x s where kept, else 0        s = 1 / (share of elements kept)
    dx = dy s where kept, else 0

The op draws nothing: which elements are kept is an argument (`bertref.dropout` makes it), so forward and backward,
every backend and every layout drop the same ones. `keep=None` means no dropout.

Edge cases: a dropped NaN or infinity is gone (0), not multiplied by 0.

Source: Srivastava et al. 2014; `modeling.py`, `dropout`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class DropoutCache(NamedTuple):
    """Which elements were kept (a byte each), and the scale."""

    keep: Array | None
    scale: float


class DropoutGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array, keep: Array | None, *, scale: float) -> tuple[Array, DropoutCache]:
    """x of any shape, keep boolean of that shape or None -> y of that shape."""
    return _scaled(xp, x, keep, scale), DropoutCache(keep, scale)


def backward(xp: Namespace, dy: Array, cache: DropoutCache) -> DropoutGrads:
    """dy -> gradient of x."""
    # y = x * scale where kept: linear, so the same map again
    return DropoutGrads(_scaled(xp, dy, cache.keep, cache.scale))


def _scaled(xp: Namespace, x: Array, keep: Array | None, scale: float) -> Array:
    return x if keep is None else xp.where(keep, x * scale, xp.zeros_like(x))


dropout = Op("dropout", forward, backward)
