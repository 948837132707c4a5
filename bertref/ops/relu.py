"""Rectified linear unit, one of the activations that a config may name.

    y = max(x, 0)        dx = dy where x > 0, else 0

The derivative at 0 is taken as 0, as torch and TensorFlow take it.

Edge cases: +inf gives +inf, -inf gives 0, NaN gives NaN (with gradient 0).

Source: `modeling.py`, `get_activation`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class ReluCache(NamedTuple):
    """Where x was positive: a byte an element instead of the input."""

    positive: Array


class ReluGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array) -> tuple[Array, ReluCache]:
    """x of any shape -> y of that shape."""
    return xp.maximum(x, xp.zeros_like(x)), ReluCache(x > 0)


def backward(xp: Namespace, dy: Array, cache: ReluCache) -> ReluGrads:
    """dy -> gradient of x."""
    # y = maximum(x, 0)
    return ReluGrads(xp.where(cache.positive, dy, xp.zeros_like(dy)))


relu = Op("relu", forward, backward)
