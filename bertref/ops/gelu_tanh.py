"""GELU, approximated by a tanh.

    y = x (1 + t)/2        t = tanh(c (x + a x³))        c = √(2/π)   a = 0.044715

Gradient. tanh' = 1 - tanh², and the inner polynomial has the derivative c (1 + 3a x²), so

    dx = dy ((1 + t)/2 + x/2 (1 - t²) c (1 + 3a x²))

Google's code since February 2019, Hugging Face's `gelu_new`. It is another function than the exact GELU (`gelu_erf`),
not a rounding of it.

Edge cases: +inf gives +inf; -inf gives NaN (-inf · 0), as in torch; NaN gives NaN. Where x³ overflows, t is ±1 and y
is x or 0; the gradient is 1 or 0, but NaN where x² overflows, too.

Source: Hendrycks & Gimpel 2016, section 2; `modeling.py`, `gelu`.
"""

import math
from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op

C = math.sqrt(2 / math.pi)
A = 0.044715


class GeluTanhCache(NamedTuple):
    """x for the polynomial, and the tanh, which is dearer than the rest together."""

    x: Array
    tanh: Array


class GeluTanhGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array) -> tuple[Array, GeluTanhCache]:
    """x of any shape -> y of that shape."""
    t = xp.tanh(C * (x + A * x * x * x))
    return 0.5 * x * (1 + t), GeluTanhCache(x, t)


def backward(xp: Namespace, dy: Array, cache: GeluTanhCache) -> GeluTanhGrads:
    """dy -> gradient of x."""
    x, t = cache
    # t = tanh(C * (x + A * x**3))
    slope = (1 - t * t) * (C * (1 + 3 * A * x * x))
    # y = 0.5 * x * (1 + t)
    return GeluTanhGrads(dy * (0.5 * (1 + t) + 0.5 * x * slope))


gelu_tanh = Op("gelu_tanh", forward, backward)
