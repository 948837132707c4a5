"""Hyperbolic tangent, the pooler's activation.

    y = tanh(x)        dx = dy (1 - y²)

Edge cases: ±inf gives ±1 with gradient 0; NaN gives NaN.

Source: `modeling.py`, the pooler of `BertModel`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class TanhCache(NamedTuple):
    """The output: the derivative is a polynomial of it."""

    y: Array


class TanhGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array) -> tuple[Array, TanhCache]:
    """x of any shape -> y of that shape."""
    y = xp.tanh(x)
    return y, TanhCache(y)


def backward(xp: Namespace, dy: Array, cache: TanhCache) -> TanhGrads:
    """dy -> gradient of x."""
    # y = tanh(x)
    return TanhGrads(dy * (1 - cache.y * cache.y))


tanh = Op("tanh", forward, backward)
