"""GELU, exact: the input times the probability that a standard normal variable lies below it.

    y = x Φ(x)        Φ(x) = (1 + erf(x/√2)) / 2

Gradient. The density is the derivative of the distribution, Φ' = φ with φ(x) = exp(-x²/2)/√(2π), so

    dx = dy (Φ(x) + x φ(x))

This is what Hugging Face calls `gelu`, and what Google's code computed until February 2019; since then it computes the
tanh form (`gelu_tanh`), which differs by at most 4.7e-4.

Edge cases: +inf gives +inf; -inf gives NaN (-inf · 0), as in torch; NaN gives NaN.

Source: Hendrycks & Gimpel 2016, equation 1.
"""

import math
from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class GeluErfCache(NamedTuple):
    """x for the density, and Φ(x), because erf is by far the dearest function of the op."""

    x: Array
    cdf: Array


class GeluErfGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array) -> tuple[Array, GeluErfCache]:
    """x of any shape -> y of that shape."""
    cdf = 0.5 * (1 + xp.erf(x * math.sqrt(0.5)))
    return x * cdf, GeluErfCache(x, cdf)


def backward(xp: Namespace, dy: Array, cache: GeluErfCache) -> GeluErfGrads:
    """dy -> gradient of x."""
    x, cdf = cache
    # y = x * cdf
    density = xp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return GeluErfGrads(dy * (cdf + x * density))


gelu_erf = Op("gelu_erf", forward, backward)
