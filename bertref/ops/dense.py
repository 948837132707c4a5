"""Dense layer: every output is a weighted sum of the inputs plus a bias.

    y = x Wᵀ + b            x (..., I)   W (O, I)   b (O)   y (..., O)

W has Hugging Face's (and torch's) orientation, (out, in); Google's kernels are its transpose.

Gradient. y[n,o] = Σᵢ x[n,i] W[o,i] + b[o], so with a loss L and dy = ∂L/∂y

    dx[n,i] = Σₒ dy[n,o] W[o,i]        dx = dy W
    dW[o,i] = Σₙ dy[n,o] x[n,i]        dW = dyᵀ x     (n runs over all rows)
    db[o]   = Σₙ dy[n,o]

Source: Devlin et al. 2019, section 3; `modeling.py`, every `tf.layers.dense`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import sum_rows
from .op import Op


class DenseCache(NamedTuple):
    """x and the weight: each is the factor that the other's gradient needs. `has_bias` saves keeping the bias."""

    x: Array
    weight: Array
    has_bias: bool


class DenseGrads(NamedTuple):
    """x (..., I), weight (O, I), bias (O), or None where there was no bias."""

    x: Array
    weight: Array
    bias: Array | None


def forward(xp: Namespace, x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, DenseCache]:
    """x (..., I), weight (O, I), bias (O) or None -> y (..., O)."""
    y = xp.matmul(x, xp.matrix_transpose(weight))
    if bias is not None:
        y = y + bias
    return y, DenseCache(x, weight, bias is not None)


def backward(xp: Namespace, dy: Array, cache: DenseCache) -> DenseGrads:
    """dy (..., O) -> gradients of x, weight and bias."""
    x, weight, has_bias = cache
    rows_x = xp.reshape(x, (-1, x.shape[-1]))
    rows_dy = xp.reshape(dy, (-1, dy.shape[-1]))
    # y = y + bias
    dbias = sum_rows(xp, dy) if has_bias else None
    # y = matmul(x, transpose(weight))
    dx = xp.matmul(dy, weight)
    dweight = xp.matmul(xp.matrix_transpose(rows_dy), rows_x)
    return DenseGrads(dx, dweight, dbias)


dense = Op("dense", forward, backward)
