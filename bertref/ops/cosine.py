"""Cosine distance between corresponding rows, weighted: how far a student's vectors point away from a teacher's.

    c_n  = x_n · t_n / √((‖x_n‖² + ε) (‖t_n‖² + ε))
    loss = Σ_n w_n (1 - c_n) / d

ε keeps a row of zeros at c = 0.

Gradient. With r = 1/√(‖x‖² + ε) and s = 1/√(‖t‖² + ε), c = r s x·t and ∂r/∂x = -r³ x, so ∂c/∂x = r s t - r² c x and

    dx_n = dloss (w_n / d) (r² c x_n - r s t_n)

It is at right angles to x, but for ε: the length of a vector doesn't matter.

Edge cases: no row at all gives 0; a row of weight 0 adds exactly 0 to loss and gradient, whatever it holds; rows of
zeros have distance 1; sums are taken in at least float32.

Source: Sanh et al. 2019, section 2 (the cosine loss of hidden states); torch, `CosineEmbeddingLoss`,
whose ε is 1e-12.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import wide
from .op import Op


class CosineCache(NamedTuple):
    """x and target, in which the gradient is written; c, r and r s (N, 1), from which its coefficients are made; the
    factors w_n / d (N, 1)."""

    x: Array
    target: Array
    cosine: Array
    reciprocal: Array
    both: Array
    factors: Array


class CosineGrads(NamedTuple):
    """x (N, H); target, weights and denominator are data."""

    x: Array


def forward(
    xp: Namespace, x: Array, target: Array, weights: Array, denominator: Array, *, eps: float
) -> tuple[Array, CosineCache]:
    """x (N, H), target (N, H), weights (N), denominator () -> loss (), in at least float32."""
    a, t = wide(xp, x), wide(xp, target)
    r, s = (1 / xp.sqrt(xp.sum(v * v, axis=1, keepdims=True) + eps) for v in (a, t))
    cosine = r * s * xp.sum(a * t, axis=1, keepdims=True)
    factors = xp.expand_dims(xp.astype(weights, a.dtype) / denominator, axis=1)
    loss = xp.sum(xp.where(factors == 0, xp.zeros_like(cosine), factors * (1 - cosine)))
    return loss, CosineCache(x, target, cosine, r, r * s, factors)


def backward(xp: Namespace, dy: Array, cache: CosineCache) -> CosineGrads:
    """dy (), the gradient of the loss -> gradient of x."""
    x, target, cosine, r, both, factors = cache
    # loss = Σ factors (1 - r s x·t)
    along = r * r * cosine * wide(xp, x) - both * wide(xp, target)
    dx = xp.where(factors == 0, xp.zeros_like(along), wide(xp, dy) * factors * along)
    return CosineGrads(xp.astype(dx, x.dtype, copy=False))


cosine = Op("cosine", forward, backward)
