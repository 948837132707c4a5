"""Softmax over the last axis: positive numbers that sum to 1.

    y_i = exp(x_i - m) / Σⱼ exp(x_j - m)        m = max(x)

The shift by m changes nothing and keeps exp from overflowing.

Gradient. ∂y_i/∂x_j = y_i (δ_ij - y_j), so

    dx = y (dy - Σⱼ dyⱼ yⱼ)

Edge cases: a row of nothing but -inf (a query without any key) gives zeros, with gradient 0, not NaN; +inf or NaN
anywhere makes its whole row NaN. Sums are taken in at least float32.

Source: Vaswani et al. 2017, equation 1; `modeling.py`, `attention_layer`.
"""

import math
from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import wide
from .op import Op


class SoftmaxCache(NamedTuple):
    """The output: the derivative is made of nothing else."""

    y: Array


class SoftmaxGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array) -> tuple[Array, SoftmaxCache]:
    """x (..., N) -> y (..., N)."""
    w = wide(xp, x)
    largest = xp.max(w, axis=-1, keepdims=True)
    shifted = w - xp.where(largest == -math.inf, xp.zeros_like(largest), largest)
    exponentials = xp.exp(shifted)
    total = xp.sum(exponentials, axis=-1, keepdims=True)
    y = exponentials / xp.where(total == 0, xp.ones_like(total), total)
    y = xp.astype(y, x.dtype, copy=False)
    return y, SoftmaxCache(y)


def backward(xp: Namespace, dy: Array, cache: SoftmaxCache) -> SoftmaxGrads:
    """dy (..., N) -> gradient of x."""
    y = cache.y
    # y = exponentials / total
    inner = xp.sum(wide(xp, dy * y), axis=-1, keepdims=True)
    return SoftmaxGrads(xp.astype(y * (dy - inner), dy.dtype, copy=False))


softmax = Op("softmax", forward, backward)
