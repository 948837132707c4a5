"""Layer norm, and dropout + residual + layer norm: a block of rows stays in the cache through all passes.

The formulas are those of `ops.layer_norm` and `ops.dropout_add_norm`. Sums along a row are products with a vector,
which BLAS makes at the speed of reading the row once: with ones for the mean, with γ for both means of the gradient,

    mean(g) = dy · γ / H          mean(g n) = (dy n) · γ / H          g = dy γ

and dy n is needed for dγ anyway. Sums over all rows are taken block by block and then over the blocks, in order.

`given=True` says that the caller has no further use for x: the normalised rows are then written in its place.
"""

from typing import Any, NamedTuple

import numpy as np

from ....arrays import Namespace
from ....ops.dropout_add_norm import DropoutAddNormGrads
from ....ops.layer_norm import LayerNormGrads
from ....ops.op import Kernel
from .buffers import HostArray, empty, in_place_of, scratch
from .rows import as_rows, is_keep, kept, over_rows, reals, row_blocks


class NormCache(NamedTuple):
    """As in the reference: the normalised rows (..., H), 1/√(v + ε) (rows, 1), and γ."""

    normalised: HostArray
    reciprocal: HostArray
    gamma: HostArray


class DropoutAddNormCache(NamedTuple):
    """The norm's cache, and what the dropout kept."""

    norm: NormCache
    keep: HostArray | None
    scale: float


def serves_norm(x: Any, gamma: Any, beta: Any, *, eps: float) -> bool:
    """Rows of float32 or float64."""
    return reals(x, gamma, beta) and x.ndim >= 2 and x.shape[-1] > 0


def serves_dropout_add_norm(
    x: Any, residual: Any, keep: Any, gamma: Any, beta: Any, *, scale: float, eps: float
) -> bool:
    """Rows of float32 or float64."""
    return reals(x, residual, gamma, beta) and x.ndim >= 2 and x.shape[-1] > 0 and is_keep(keep, x)


def norm_forward(
    xp: Namespace, x: HostArray, gamma: HostArray, beta: HostArray, *, eps: float, gradients: bool = True
) -> tuple[HostArray, NormCache]:
    """x (..., H), gamma (H), beta (H) -> y (..., H). Without `gradients` the cache is not to be used."""
    y, cache = _outputs(x, gamma, gradients, given=False)
    x_rows, y_rows, normalised = as_rows(x), as_rows(y), as_rows(cache.normalised)
    ones = np.ones(x.shape[-1], x.dtype)

    def block(_: int, r: slice) -> None:
        np.subtract(x_rows[r], _mean(x_rows[r], ones), out=normalised[r])
        _normalise(normalised[r], cache.reciprocal[r], eps)
        _affine(normalised[r], gamma, beta, y_rows[r])

    over_rows(block, *x_rows.shape)
    return y, cache


def dropout_add_norm_forward(
    xp: Namespace,
    x: HostArray,
    residual: HostArray,
    keep: HostArray | None,
    gamma: HostArray,
    beta: HostArray,
    *,
    scale: float,
    eps: float,
    gradients: bool = True,
    given: bool = False,
) -> tuple[HostArray, DropoutAddNormCache]:
    """x, residual (..., H), keep boolean (..., H) or None, gamma, beta (H) -> y (..., H).

    Without `gradients` the cache is not to be used."""
    y, cache = _outputs(x, gamma, gradients, given)
    x_rows, residual_rows, y_rows, normalised = map(as_rows, (x, residual, y, cache.normalised))
    keep_rows = None if keep is None else as_rows(keep)
    ones = np.ones(x.shape[-1], x.dtype)

    def block(_: int, r: slice) -> None:
        n = normalised[r]
        if keep_rows is None:
            np.add(x_rows[r], residual_rows[r], out=n)
        else:
            kept(x_rows[r], keep_rows[r], n, number=0)
            np.multiply(n, scale, out=n)
            np.add(n, residual_rows[r], out=n)
        np.subtract(n, _mean(n, ones), out=n)
        _normalise(n, cache.reciprocal[r], eps)
        _affine(n, gamma, beta, y_rows[r])

    over_rows(block, *x_rows.shape)
    return y, DropoutAddNormCache(cache, keep, scale)


def _outputs(x: HostArray, gamma: HostArray, gradients: bool, given: bool) -> tuple[HostArray, NormCache]:
    """y, and the cache; where nobody will ask for the normalised rows they are made in y's own place."""
    normalised = in_place_of(x) if given else empty(x.shape, x.dtype)
    y = empty(x.shape, x.dtype) if gradients else normalised
    return y, NormCache(normalised, np.empty((as_rows(x).shape[0], 1), x.dtype), gamma)


def _mean(x: HostArray, ones: HostArray) -> HostArray:
    means: HostArray = np.matmul(x, ones) / x.dtype.type(x.shape[1])
    return means[:, None]


def _normalise(n: HostArray, reciprocal: HostArray, eps: float) -> None:
    """Centred rows to unit variance, in place; 1/√(v + ε) into `reciprocal`."""
    variance = np.vecdot(n, n) / n.dtype.type(n.shape[1])
    reciprocal[:, 0] = 1 / np.sqrt(variance + eps)
    np.multiply(n, reciprocal, out=n)


def _affine(n: HostArray, gamma: HostArray, beta: HostArray, out: HostArray) -> None:
    np.multiply(n, gamma, out=out)
    np.add(out, beta, out=out)


def norm_backward(xp: Namespace, dy: HostArray, cache: NormCache) -> LayerNormGrads:
    """dy (..., H) -> gradients of x, gamma and beta."""
    dx = empty(cache.normalised.shape, cache.normalised.dtype)
    return LayerNormGrads(dx, *_backward(dy, cache, dx, None, None, 1.0))


def dropout_add_norm_backward(xp: Namespace, dy: HostArray, cache: DropoutAddNormCache) -> DropoutAddNormGrads:
    """dy (..., H) -> gradients of x, residual, gamma and beta."""
    shape, dtype = cache.norm.normalised.shape, cache.norm.normalised.dtype
    ds = empty(shape, dtype)
    dx = ds if cache.keep is None else empty(shape, dtype)
    dgamma, dbeta = _backward(dy, cache.norm, ds, dx, cache.keep, cache.scale)
    return DropoutAddNormGrads(dx, ds, dgamma, dbeta)


def _backward(
    dy: HostArray, cache: NormCache, ds: HostArray, dx: HostArray | None, keep: HostArray | None, scale: float
) -> tuple[HostArray, HostArray]:
    """Writes the norm's gradient into `ds` and, where something was dropped, the dropout's into `dx`; dγ and dβ."""
    gamma = cache.gamma
    dy_rows, normalised, ds_rows = as_rows(dy), as_rows(cache.normalised), as_rows(ds)
    keep_rows = None if keep is None else as_rows(keep)
    dx_rows = None if dx is None else as_rows(dx)
    N, H = normalised.shape
    parts = np.empty((2, len(row_blocks(N, H)), H), ds.dtype)
    share = gamma / gamma.dtype.type(H)

    def block(i: int, r: slice) -> None:
        n, g = normalised[r], ds_rows[r]
        product = scratch(0, n.shape, ds.dtype)
        np.multiply(dy_rows[r], n, out=product)
        np.add.reduce(product, axis=0, out=parts[0, i])
        np.add.reduce(dy_rows[r], axis=0, out=parts[1, i])
        along_normalised = np.matmul(product, share)[:, None]
        along_ones = np.matmul(dy_rows[r], share)[:, None]
        np.multiply(dy_rows[r], gamma, out=g)
        np.subtract(g, along_ones, out=g)
        np.multiply(n, along_normalised, out=product)
        np.subtract(g, product, out=g)
        np.multiply(g, cache.reciprocal[r], out=g)
        if keep_rows is not None and dx_rows is not None:
            kept(g, keep_rows[r], dx_rows[r], number=1)
            np.multiply(dx_rows[r], scale, out=dx_rows[r])

    over_rows(block, N, H)
    dgamma, dbeta = np.add.reduce(parts, axis=1)
    return dgamma, dbeta


layer_norm = Kernel("layer_norm", norm_forward, norm_backward, serves_norm, hints=("gradients",))
dropout_add_norm = Kernel(
    "dropout_add_norm", dropout_add_norm_forward, dropout_add_norm_backward, serves_dropout_add_norm,
    hints=("gradients", "given"),
)  # fmt: skip
