"""Logarithm of the softmax over the last axis, without ever taking the logarithm of a softmax.

    y_i = (x_i - m) - log Σⱼ exp(x_j - m)        m = max(x)

A probability that underflows to 0 still has its exact logarithm here.

Gradient. ∂y_i/∂x_j = δ_ij - exp(y_j), so

    dx = dy - exp(y) Σⱼ dyⱼ

Edge cases: -inf beside finite values gives -inf there and leaves the rest; a row of nothing but -inf, a +inf or a NaN
makes its whole row NaN: a distribution over nothing has no logarithm. The sum is taken in at least float32.

Source: `run_pretraining.py`, `get_masked_lm_output`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import wide
from .op import Op


class LogSoftmaxCache(NamedTuple):
    """The output: its exponential is the softmax that the derivative needs."""

    y: Array


class LogSoftmaxGrads(NamedTuple):
    """x, the shape of the input."""

    x: Array


def forward(xp: Namespace, x: Array) -> tuple[Array, LogSoftmaxCache]:
    """x (..., N) -> y (..., N), in at least float32."""
    w = wide(xp, x)
    shifted = w - xp.max(w, axis=-1, keepdims=True)
    y = shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    return y, LogSoftmaxCache(y)


def backward(xp: Namespace, dy: Array, cache: LogSoftmaxCache) -> LogSoftmaxGrads:
    """dy (..., N) -> gradient of x."""
    # y = shifted - log(sum(exp(shifted)))
    return LogSoftmaxGrads(dy - xp.exp(cache.y) * xp.sum(wide(xp, dy), axis=-1, keepdims=True))


log_softmax = Op("log_softmax", forward, backward)
