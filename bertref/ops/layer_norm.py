"""Layer normalisation: every row gets mean 0 and variance 1, then a learnt scale and shift.

    μ = mean(x)    v = mean((x - μ)²)    r = 1/√(v + ε)          over the last axis
    n = (x - μ) r
    y = n γ + β                          x, y (..., H)   γ, β (H)

The variance is the biased one (divided by H, not H-1), and ε stands inside the root.

Gradient. With g = dy γ, the gradient that reaches n:

    dγ = Σ dy n        dβ = Σ dy         over all rows
    dx = r (g - mean(g) - n mean(g n))

The two means are what x contributes through μ and through v: n has no component along 1 and a fixed length, so its
gradient cannot have one along 1 or along n either (up to ε). dx is therefore g with both projections removed, scaled
by r.

Edge cases: a constant row has v = 0 and gives y = β, up to the rounding of its mean times r = 1/√ε; one NaN or infinity
makes its whole row NaN.

Source: Ba et al. 2016; `modeling.py`, `layer_norm` (ε = 1e-12).
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import sum_rows, wide
from .op import Op


class LayerNormCache(NamedTuple):
    """`normalised` (..., H) serves both dγ and dx, so x is not kept; `reciprocal` (..., 1) is r; `gamma` makes g."""

    normalised: Array
    reciprocal: Array
    gamma: Array


class LayerNormGrads(NamedTuple):
    """x (..., H), gamma (H), beta (H)."""

    x: Array
    gamma: Array
    beta: Array


def forward(xp: Namespace, x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, LayerNormCache]:
    """x (..., H), gamma (H), beta (H) -> y (..., H)."""
    w = wide(xp, x)
    centred = w - xp.mean(w, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    reciprocal = 1 / xp.sqrt(variance + eps)
    normalised = centred * reciprocal
    y = normalised * gamma + beta
    return xp.astype(y, x.dtype, copy=False), LayerNormCache(normalised, reciprocal, gamma)


def backward(xp: Namespace, dy: Array, cache: LayerNormCache) -> LayerNormGrads:
    """dy (..., H) -> gradients of x, gamma and beta."""
    normalised, reciprocal, gamma = cache
    w = wide(xp, dy)
    # y = normalised * gamma + beta
    dbeta = sum_rows(xp, w)
    dgamma = sum_rows(xp, w * normalised)
    g = w * gamma
    # normalised = (x - mean(x)) * reciprocal
    along_ones = xp.mean(g, axis=-1, keepdims=True)
    along_normalised = xp.mean(g * normalised, axis=-1, keepdims=True)
    dx = reciprocal * (g - along_ones - normalised * along_normalised)
    return LayerNormGrads(xp.astype(dx, dy.dtype, copy=False), dgamma, dbeta)


layer_norm = Op("layer_norm", forward, backward)
