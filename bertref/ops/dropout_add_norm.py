"""Dropout, residual connection and layer normalisation: the end of both halves of an encoder layer.

    s = dropout(x) + residual            x, residual (..., H)
    y = layer_norm(s) with γ, β (H)

BERT normalises after the addition (post-LN). A composition, for a kernel to fuse; with a `probe` it shows s as `sum`.

Gradient: ds = layer norm's own; it goes unchanged to the residual and through the dropout to x.

Source: Vaswani et al. 2017, section 3.1; `modeling.py`, `transformer_model`.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..arrays import Array, Namespace
from . import dropout as dropout_
from . import layer_norm as layer_norm_
from .op import Op

InnerProbe = Callable[[str, Array], None]


class DropoutAddNormCache(NamedTuple):
    """The caches of the dropout and of the layer norm; the addition needs none."""

    dropout: dropout_.DropoutCache
    layer_norm: layer_norm_.LayerNormCache


class DropoutAddNormGrads(NamedTuple):
    """x and residual (..., H), gamma and beta (H)."""

    x: Array
    residual: Array
    gamma: Array
    beta: Array


def forward(
    xp: Namespace,
    x: Array,
    residual: Array,
    keep: Array | None,
    gamma: Array,
    beta: Array,
    *,
    scale: float,
    eps: float,
    probe: InnerProbe | None = None,
) -> tuple[Array, DropoutAddNormCache]:
    """x, residual (..., H), keep boolean (..., H) or None, gamma, beta (H) -> y (..., H)."""
    dropped, dropout_cache = dropout_.forward(xp, x, keep, scale=scale)
    s = dropped + residual
    if probe:
        probe("sum", s)
    y, norm_cache = layer_norm_.forward(xp, s, gamma, beta, eps=eps)
    return y, DropoutAddNormCache(dropout_cache, norm_cache)


def backward(
    xp: Namespace, dy: Array, cache: DropoutAddNormCache, *, probe: InnerProbe | None = None
) -> DropoutAddNormGrads:
    """dy (..., H) -> gradients of x, residual, gamma and beta."""
    # y = layer_norm(s)
    ds, dgamma, dbeta = layer_norm_.backward(xp, dy, cache.layer_norm)
    if probe:
        probe("sum", ds)
    # s = dropped + residual; dropped = dropout(x)
    dx = dropout_.backward(xp, ds, cache.dropout).x
    return DropoutAddNormGrads(dx, ds, dgamma, dbeta)


dropout_add_norm = Op("dropout_add_norm", forward, backward, probes=("sum",))
