"""Multi-head scaled dot-product attention, with a mask over the keys and dropout on the probabilities.

    q, k, v  (B, S, H) -> (B, A, S, D)                  split: H is A heads of D
    scores   = scale q kᵀ                               (B, A, S, S)   row = query, column = key
    masked   = scores + mask_value at padded keys       mask_value = -inf removes them exactly
    probs    = softmax(masked)                          over the keys
    dropped  = dropout(probs)
    context  = dropped v                                (B, A, S, D) -> (B, S, H)   merge

This is a composition: its parts are ops of their own, and a fused kernel may replace the whole. With a `probe` it shows
what lies inside: scores (scaled, before the mask) and probs (before dropout), and in backward the gradients of both.

Gradient, from the end:

    dv       = droppedᵀ dcontext        ddropped = dcontext vᵀ
    dprobs   = dropout's gradient       dscores  = softmax's gradient (the mask is a constant: it adds nothing)
    dq       = scale dscores k          dk       = scale dscoresᵀ q

A constant added to all scores of a query changes nothing. So the key's bias, which adds q·b to every score of a row,
cannot change the output, and its true gradient is 0; what is computed for it is rounding.

Edge cases: a query all of whose keys are masked gets context 0 with mask_value -inf; with a finite value the same
constant is added to all its scores, so it attends to all keys (as exactly as scores survive that addition).

`scale_query=True` multiplies the query by the scale before the product instead of the scores after it.

Source: Vaswani et al. 2017, section 3.2; `modeling.py`, `attention_layer` (mask value -10000).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from ..arrays import Array, Namespace
from . import dropout as dropout_
from . import softmax as softmax_
from ._wide import wide
from .op import Op

InnerProbe = Callable[[str, Array], None]


class AttentionCache(NamedTuple):
    """The split q, k, v, which are the factors of both products; the softmax's and the dropout's own caches.

    The dropped probabilities are made again in backward: one pass over them costs less than keeping a second
    (B, A, S, S).
    """

    query: Array
    key: Array
    value: Array
    softmax: softmax_.SoftmaxCache
    dropout: dropout_.DropoutCache
    scale: float
    scale_query: bool


class AttentionGrads(NamedTuple):
    """query, key and value, each (B, S, H)."""

    query: Array
    key: Array
    value: Array


def forward(
    xp: Namespace,
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    keep: Array | None,
    *,
    heads: int,
    scale: float,
    mask_value: float,
    dropout_scale: float = 1.0,
    scale_query: bool = False,
    probe: InnerProbe | None = None,
) -> tuple[Array, AttentionCache]:
    """query, key, value (B, S, H), mask (B, S) boolean (token), keep (B, A, S, S) boolean or None -> (B, S, H).

    There may be fewer queries than keys, (B, Q, H): the context then has as many rows.
    """
    q, k, v = (split_heads(xp, x, heads) for x in (query, key, value))
    scores = _product(xp, q * scale, k) if scale_query else _product(xp, q, k) * scale
    if probe:
        probe("scores", scores)
    probs, _softmax_cache = softmax_.forward(xp, add_mask(xp, scores, mask, mask_value))
    probs = xp.astype(probs, query.dtype, copy=False)
    if probe:
        probe("probs", probs)
    dropped, dropout_cache = dropout_.forward(xp, probs, keep, scale=dropout_scale)
    context = merge_heads(xp, xp.matmul(dropped, v))
    return context, AttentionCache(q, k, v, softmax_.SoftmaxCache(probs), dropout_cache, scale, scale_query)


def backward(xp: Namespace, dy: Array, cache: AttentionCache, *, probe: InnerProbe | None = None) -> AttentionGrads:
    """dy (B, S, H) -> gradients of query, key and value."""
    q, k, v = cache.query, cache.key, cache.value
    probs = cache.softmax.y
    dropped, _ = dropout_.forward(xp, probs, cache.dropout.keep, scale=cache.dropout.scale)
    # context = matmul(dropped, v)
    dcontext = split_heads(xp, dy, q.shape[1])
    dv = xp.matmul(xp.matrix_transpose(dropped), dcontext)
    ddropped = xp.matmul(dcontext, xp.matrix_transpose(v))
    # dropped = dropout(probs); probs = softmax(scores + mask)
    dprobs = dropout_.backward(xp, ddropped, cache.dropout).x
    dscores = softmax_.backward(xp, dprobs, cache.softmax).x
    if probe:
        probe("probs", dprobs)
        probe("scores", dscores)
    # scores = q kᵀ scale
    dproduct = dscores * cache.scale
    dq = xp.matmul(dproduct, k)
    dk = xp.matmul(xp.matrix_transpose(dproduct), q)
    return AttentionGrads(merge_heads(xp, dq), merge_heads(xp, dk), merge_heads(xp, dv))


def split_heads(xp: Namespace, x: Array, heads: int) -> Array:
    """(B, S, H) -> (B, A, S, D): the columns of head a are a*D .. (a+1)*D-1."""
    B, S, H = x.shape
    return xp.permute_dims(xp.reshape(x, (B, S, heads, H // heads)), (0, 2, 1, 3))


def merge_heads(xp: Namespace, x: Array) -> Array:
    """(B, A, S, D) -> (B, S, H), the inverse of `split_heads` and therefore its gradient."""
    B, A, S, D = x.shape
    return xp.reshape(xp.permute_dims(x, (0, 2, 1, 3)), (B, S, A * D))


def add_mask(xp: Namespace, scores: Array, mask: Array, mask_value: float) -> Array:
    """scores (B, A, S, S), mask (B, S) -> scores with mask_value added in the padded columns, in at least float32."""
    w = wide(xp, scores)
    token = xp.reshape(mask, (mask.shape[0], 1, 1, mask.shape[1]))
    if mask_value == -math.inf:
        return xp.where(token, w, xp.full_like(w, -math.inf))
    # what is added is small, (B, 1, 1, S); choosing between two sums would be a second pass over the scores
    return w + xp.where(token, xp.zeros_like(token, dtype=w.dtype), mask_value)


def _product(xp: Namespace, q: Array, k: Array) -> Array:
    return xp.matmul(q, xp.matrix_transpose(k))


attention = Op("attention", forward, backward, probes=("scores", "probs"))
