"""Masked softmax attention: the products by the library, everything between them in one launch, in the scores' place.

    forward     q kᵀ -> [scale, mask, softmax in place; dropout] -> dropped v
    backward    dcontext vᵀ -> [dropout; softmax; scale in place; dropped once more] -> dq, dk, dv

The probabilities before dropout are kept; what dropout leaves of them is made again in backward. `side_by_side=True`
asks for the gradients in one array, of which they are views.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ....arrays import Array, Namespace
from ....ops.attention import AttentionGrads, merge_heads, split_heads
from ....ops.op import Kernel
from .device import Device, Shape, ceil_div, product
from .sources import expression

HELD = (4, 16)
"""Elements that a lane can hold."""
LONGEST = 32 * HELD[-1]


class Cache(NamedTuple):
    """The split q, k, v; the probabilities (B, A, S, S); what was kept; both scales; how gradients are wanted."""

    query: Array
    key: Array
    value: Array
    probs: Array
    keep: Array | None
    scale: float
    dropout_scale: float
    side_by_side: bool


class SideBySide(NamedTuple):
    """Gradients of query, key and value, (B, S, H), and all three side by side, (B, S, 3H)."""

    query: Array
    key: Array
    value: Array
    side_by_side: Array


def attention(device: Device) -> Kernel:
    """The kernel on a device."""

    def serves(
        query: Any, key: Any, value: Any, mask: Any, keep: Any, *, heads: int, scale: float, mask_value: float,
        dropout_scale: float = 1.0, scale_query: bool = False,
    ) -> bool:  # fmt: skip
        """Sequences of 1 to 512 tokens in float32, float16 or bfloat16."""
        B, S, H = query.shape
        alike = device.serves(query, key, value) and query.shape == key.shape == value.shape
        masks = mask is not None and device.is_keep(mask, (B, S)) and device.is_keep(keep, (B, heads, S, S))
        return alike and masks and B > 0 and H > 0 and 0 < S <= LONGEST

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
        side_by_side: bool = False,
    ) -> tuple[Array, Cache]:
        """query, key, value (B, S, H), mask (B, S) boolean, keep (B, A, S, S) boolean or None -> context (B, S, H)."""
        q, k, v = (split_heads(xp, x, heads) for x in (query, key, value))
        factored = xp.astype(q * scale, q.dtype, copy=False) if scale_query else q
        probs = product(device, xp, factored, xp.matrix_transpose(k), query.dtype)
        factor = 1.0 if scale_query else scale
        keep = None if keep is None else device.contiguous(keep)
        dropped = _softmax(device, probs, device.contiguous(mask), keep, factor, mask_value, dropout_scale)
        context = xp.astype(xp.matmul(dropped, v), query.dtype, copy=False)
        return merge_heads(xp, context), Cache(q, k, v, probs, keep, scale, dropout_scale, side_by_side)

    def backward(xp: Namespace, dy: Array, cache: Cache) -> AttentionGrads | SideBySide:
        """dy (B, S, H) -> gradients of query, key and value."""
        dcontext = split_heads(xp, dy, cache.probs.shape[1])
        # context = dropped v
        scores = product(device, xp, dcontext, xp.matrix_transpose(cache.value), dy.dtype)
        dropped = _softmax_back(device, scores, cache)
        dv = xp.matmul(xp.matrix_transpose(dropped), dcontext)
        # scores = q kᵀ scale
        dq = xp.matmul(scores, cache.key)
        dk = xp.matmul(xp.matrix_transpose(scores), cache.query)
        if cache.side_by_side:
            return _joined(device, dy, (dq, dk, dv))
        return AttentionGrads(*(merge_heads(xp, xp.astype(x, dy.dtype, copy=False)) for x in (dq, dk, dv)))

    return Kernel("attention", forward, backward, serves, hints=("side_by_side",))


def _joined(device: Device, dy: Array, split: tuple[Array, Array, Array]) -> SideBySide:
    """Gradients (B, A, S, D) as rows (B, S, H) side by side, in the type of dy (B, S, H): each is copied once, as it
    is where its heads are merged."""
    B, S, H = dy.shape
    _, A, _, D = split[0].shape
    whole = device.empty((B, S, 3, A, D), dy.dtype)
    for i, heads in enumerate(split):
        whole[:, :, i] = heads.transpose(0, 2, 1, 3)
    rows = whole.reshape(B, S, 3 * H)
    return SideBySide(rows[..., :H], rows[..., H : 2 * H], rows[..., 2 * H :], rows)


def _held(S: int) -> int:
    """How many elements a lane holds."""
    return next(held for held in HELD if 32 * held >= S)


def _shape(device: Device, rows: int) -> Shape:
    of_a_block = device.tuning.softmax_rows
    return Shape((ceil_div(rows, of_a_block), 1), (32, of_a_block))


def _softmax(
    device: Device, x: Array, mask: Array, keep: Array | None, scale: float, mask_value: float, dropout_scale: float
) -> Array:
    """Scores (B, A, S, S) become probabilities in place; what dropout leaves of them is returned."""
    B, A, S, _ = x.shape
    dropped = x if keep is None else device.empty(x.shape, x.dtype)
    V = device.elements_at_once(S, x, mask, keep, dropped, most=device.tuning.scores_width)
    lowest = mask_value if mask_value == -math.inf else max(mask_value, float(np.finfo(np.float32).min))
    device.launch(
        "softmax", expression("softmax", x.dtype.name, V, _held(S)), _shape(device, B * A * S),
        x, mask, keep, None if keep is None else dropped, np.int64(B * A * S), np.int64(A * S), np.int32(S),
        np.float32(scale), np.float32(lowest), np.float32(dropout_scale),
    )  # fmt: skip
    return dropped


def _softmax_back(device: Device, gradient: Array, cache: Cache) -> Array:
    """The dropped probabilities' gradient (B, A, S, S) becomes that of the product q kᵀ in place; returned are the
    dropped probabilities."""
    probs, keep = cache.probs, cache.keep
    B, A, S, _ = probs.shape
    dropped = probs if keep is None else device.empty(probs.shape, probs.dtype)
    V = device.elements_at_once(S, gradient, probs, keep, dropped, most=device.tuning.scores_width)
    device.launch(
        "softmax", expression("softmax_back", probs.dtype.name, V, _held(S)), _shape(device, B * A * S),
        gradient, probs, keep, None if keep is None else dropped, np.int64(B * A * S), np.int32(S),
        np.float32(cache.scale), np.float32(cache.dropout_scale),
    )  # fmt: skip
    return dropped
