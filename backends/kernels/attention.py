"""Masked softmax attention, one sequence and a few heads at a time, over real keys only.

The heads of a sequence are views into its rows, (A, L, D) with steps of H: BLAS reads and writes them where they are,
so nothing is split, merged or transposed in memory. What is (L, L) stays in the cache until the softmax is done.

A padded key's probability is exactly 0 where its mask value is -inf, or so low that the exponential underflows. By
Cauchy and Schwarz no score is larger than the longest query times the longest key, so a look at their lengths tells;
the keys after the last real one are then left out (a NaN in their values with them, which the reference would
spread). A sequence for which that does not hold, or whose padding is not at its end, is computed over all keys with
the mask added.

`padding=False` says that the caller does not read rows at padding (the packed layout has none): they are not
computed, and come back as 0. `gradients=False` says that there will be no backward: the probabilities are not kept.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Namespace
from ...ops.attention import AttentionGrads
from ...ops.op import Kernel
from .buffers import HostArray, empty, scratch
from .dense import share_out
from .rows import kept, parts_of, reals

TILE_ELEMENTS = 1 << 18
"""Elements of the probabilities that are worked on at once: with a buffer of that size they stay in the cache."""
PARTS = 8
"""Into so many parts a batch is cut at least; one of fewer sequences by heads."""
SMALL = 40.0
"""Scores up to this size may go into exp as they are: not even a sum of 2^60 of their exponentials overflows."""
UNDERFLOW = {"f": 104.0, "d": 746.0}
"""exp(-x) is 0 from here on."""


class Cache(NamedTuple):
    """The arguments that backward needs, and for each sequence its queries, its keys and their probabilities."""

    query: HostArray
    key: HostArray
    value: HostArray
    keep: HostArray | None
    probs: list[HostArray]  # (A, queries, keys)
    scale: float
    dropout_scale: float


def serves(
    query: Any, key: Any, value: Any, mask: Any, keep: Any, *, heads: int, scale: float, mask_value: float,
    dropout_scale: float = 1.0, scale_query: bool = False,
) -> bool:  # fmt: skip
    """float32 and float64 in one shape (B, S, H)."""
    B, S, H = query.shape
    if not (reals(query, key, value) and query.shape == key.shape == value.shape and S > 0 and H > 0):
        return False
    masks = isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (B, S)
    return masks and (keep is None or (isinstance(keep, np.ndarray) and keep.dtype == np.bool_
                                       and keep.shape == (B, heads, S, S)))  # fmt: skip


def forward(
    xp: Namespace,
    query: HostArray,
    key: HostArray,
    value: HostArray,
    mask: HostArray,
    keep: HostArray | None,
    *,
    heads: int,
    scale: float,
    mask_value: float,
    dropout_scale: float = 1.0,
    scale_query: bool = False,
    padding: bool = True,
    gradients: bool = True,
) -> tuple[HostArray, Cache]:
    """query, key, value (B, S, H), mask (B, S) boolean, keep (B, A, S, S) boolean or None -> context (B, S, H)."""
    query, key, value = (_rows_in_place(x) for x in (query, key, value))
    B, S, _ = query.shape
    context = empty(query.shape, query.dtype)
    probs: list[Any] = [None] * B
    extents: list[Any] = [None] * B

    def look(b: int) -> None:
        with np.errstate(all="ignore"):
            largest = _largest(query[b], key[b], heads, scale)
        keys, added = _keys(mask[b], mask_value, UNDERFLOW[query.dtype.char] + 2 * largest)
        queries = keys if not padding and added is None else S
        extents[b] = queries, keys, added, added is None and largest < SMALL
        if gradients:
            probs[b] = empty((heads, queries, keys), query.dtype)

    def part(b: int, some: slice) -> None:
        if extents[b] is None:
            look(b)
        with np.errstate(all="ignore"):
            q, k, v, out = (_heads(x[b], heads) for x in (query, key, value, context))
            queries, keys, added, small = extents[b]
            for a in _tiles(some, queries, keys):
                p = probs[b][a] if gradients else scratch(4, (a.stop - a.start, queries, keys), query.dtype)
                scaled = scratch(0, (p.shape[0], queries, q.shape[2]), query.dtype)
                np.multiply(q[a, :queries], scale, out=scaled)
                np.matmul(scaled, k[a, :keys].mT, out=p)
                if added is not None:
                    np.add(p, added.astype(p.dtype), out=p)
                _softmax(p, small=small)
                factor, used = _dropped(p, keep, (b, a), scratch_number=1)
                np.matmul(used, v[a, :keys], out=out[a, :queries])
                if factor:
                    np.multiply(out[a, :queries], dropout_scale, out=out[a, :queries])
            out[some, queries:] = 0

    parts = _parts(part, B, heads)
    if len(parts) > B:  # the parts of a sequence run at the same time, and only look at what is known of all of it
        for b in range(B):
            look(b)
    share_out(parts, B * S * S * query.shape[2])
    return context, Cache(query, key, value, keep, probs, scale, dropout_scale)


def backward(xp: Namespace, dy: HostArray, cache: Cache) -> AttentionGrads:
    """dy (B, S, H) -> gradients of query, key and value."""
    query, key, value, keep, probs, scale, dropout_scale = cache
    dy = _rows_in_place(dy)
    B, S, H = query.shape
    grads = AttentionGrads(*(empty(query.shape, query.dtype) for _ in range(3)))

    heads = probs[0].shape[0] if B else 1

    def part(b: int, some: slice) -> None:
        _, queries, keys = probs[b].shape
        with np.errstate(all="ignore"):
            q, k, v, dout, dq, dk, dv = (_heads(x[b], heads) for x in (query, key, value, dy, *grads))
            for a in _tiles(some, queries, keys):
                p = probs[b][a]
                factor, used = _dropped(p, keep, (b, a), scratch_number=1)
                dcontext = dout[a, :queries]
                if factor:
                    scaled = scratch(0, dcontext.shape, dy.dtype)
                    dcontext = np.multiply(dcontext, dropout_scale, out=scaled)
                # context = used v
                np.matmul(used.mT, dcontext, out=dv[a, :keys])
                dprobs = scratch(4, p.shape, dy.dtype)
                np.matmul(dcontext, v[a, :keys].mT, out=dprobs)
                if factor:
                    _, dprobs = _dropped(dprobs, keep, (b, a), scratch_number=1)
                # p = softmax(scores)
                np.subtract(dprobs, np.expand_dims(np.vecdot(dprobs, p), -1), out=dprobs)
                np.multiply(dprobs, p, out=dprobs)
                # scores = q kᵀ scale
                np.matmul(dprobs, k[a, :keys], out=dq[a, :queries])
                np.multiply(dq[a, :queries], scale, out=dq[a, :queries])
                np.matmul(dprobs.mT, q[a, :queries], out=dk[a, :keys])
                np.multiply(dk[a, :keys], scale, out=dk[a, :keys])
            dq[some, queries:] = dk[some, keys:] = dv[some, keys:] = 0

    share_out(_parts(part, B, heads), B * S * S * H)
    return grads


def _parts(part: Any, B: int, heads: int) -> list[Any]:
    """Calls of `part` for every sequence and head; where there are few sequences, some of their heads at a time."""
    number = min(max(1, PARTS // max(B, 1)), heads)
    return [(part, b, some) for b in range(B) for some in parts_of(heads, number)]


def _rows_in_place(x: HostArray) -> HostArray:
    """x if BLAS can read its rows where they are, else a copy that has them so."""
    return x if x.strides[2] == x.itemsize and x.strides[1] >= x.shape[2] * x.itemsize else np.ascontiguousarray(x)


def _heads(rows: HostArray, heads: int) -> HostArray:
    """(S, H) -> a view (A, S, D): the columns of head a are a*D .. (a+1)*D-1."""
    S, H = rows.shape
    return rows.reshape(S, heads, H // heads).transpose(1, 0, 2)


def _tiles(heads: slice, queries: int, keys: int) -> list[slice]:
    """Groups of heads whose probabilities fit the cache."""
    step = max(1, TILE_ELEMENTS // max(1, queries * keys))
    return [slice(a, min(a + step, heads.stop)) for a in range(heads.start, heads.stop, step)]


def _largest(q: HostArray, k: HostArray, heads: int, scale: float) -> float:
    """No score of a sequence is larger in size: its longest query times its longest key, scaled."""
    longest = [float(np.sqrt(np.max(np.vecdot(x, x)))) for x in (_heads(q, heads), _heads(k, heads))]
    return abs(scale) * longest[0] * longest[1]


def _keys(token: HostArray, mask_value: float, enough: float) -> tuple[int, HostArray | None]:
    """How many leading keys to compute over, and what to add to their scores (None: nothing).

    A key whose score is lowered by more than `enough` has probability 0.
    """
    S = token.shape[0]
    real = int(np.count_nonzero(token))
    if real == S:
        return S, None
    if real and token[:real].all() and (mask_value == -math.inf or enough < -mask_value):
        return real, None
    return S, np.where(token, 0, mask_value)


def _softmax(p: HostArray, *, small: bool) -> None:
    """Over the last axis, in place; a row of nothing but -inf becomes zeros.

    `small` says that no exponential or sum of them can overflow or vanish: then the largest element, which it takes as
    long to find as to do all the rest, needs not be subtracted first.
    """
    if not small:
        largest = np.max(p, axis=-1, keepdims=True)
        largest[largest == -math.inf] = 0
        np.subtract(p, largest, out=p)
    np.exp(p, out=p)
    total = np.matmul(p, np.ones(p.shape[-1], p.dtype))
    total[total == 0] = 1
    np.divide(p, np.expand_dims(total, -1), out=p)


def _dropped(
    p: HostArray, keep: HostArray | None, where: tuple[int, slice], scratch_number: int
) -> tuple[bool, HostArray]:
    """Whether there is a dropout, and p with what is dropped set to 0, in scratch: three arrays from that number."""
    if keep is None:
        return False, p
    kept_here = keep[where][:, : p.shape[1], : p.shape[2]]
    out = scratch(scratch_number + 2, p.shape, p.dtype)
    kept(p, kept_here, out, scratch_number)
    return True, out


attention = Kernel("attention", forward, backward, serves, hints=("padding", "gradients"))
