"""Masked softmax attention, a few sequences of one length or a few heads of one at a time, over real keys only.

The heads of sequences are views into their rows, (n, A, L, D) with steps of H: BLAS reads and writes them where they
are, so nothing is split, merged or transposed in memory. What is (L, L) stays in the cache until the softmax is done.

A padded key's probability is exactly 0 where its mask value is -inf, or so low that the exponential underflows. By
Cauchy and Schwarz no score is larger than the longest query times the longest key, so a look at their lengths tells;
the keys after the last real one are then left out (a NaN in their values with them, which the reference would
spread). A sequence for which that does not hold, or whose padding is not at its end, is computed over all keys with
the mask added.

`padding=False` says that the caller does not read rows at padding, and that they hold 0 (the packed layout has none):
they are not computed, and come back as 0. `gradients=False` says that there will be no backward: the probabilities are
not kept. Unless `recomputed=True` says that a forward which keeps them is to follow, and to give the same bits, the way
is then shorter: fewer divisions; and with `padding=False` neighbours of nearly one length are computed together, as if
all were as long as the longest. What comes back at padding is then of no use. The interpreter would otherwise take most
of the time of short sequences. `side_by_side=True` asks for the gradients in one array, of which they are views.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ....arrays import Namespace
from ....ops.attention import AttentionGrads
from ....ops.op import Kernel
from ..threads import available, inside
from .buffers import HostArray, empty, scratch
from .rows import kept, parts_of, reals
from .tiles import share_out

TILE_ELEMENTS = 1 << 18
"""Elements of the probabilities that are worked on at once: with a buffer of that size they stay in the cache."""
PARTS = 8
"""Into so many parts a batch is cut at least; one of few groups by heads."""
NEAR = 0.8
"""Of the sequences that are computed as if they had one length the shortest has at least this share of the longest."""
SMALL = 40.0
"""Scores up to this size may go into exp as they are: not even a sum of 2^60 of their exponentials overflows."""
UNDERFLOW = {"f": 104.0, "d": 746.0}
"""exp(-x) is 0 from here on."""


class Group(NamedTuple):
    """Sequences side by side that are computed together: over so many of their queries and keys, with `added` added to
    the scores (None: nothing), which are small where `small` says so."""

    some: slice
    queries: int
    keys: int
    added: HostArray | None
    small: bool

    def shape(self, heads: int) -> tuple[int, int, int, int]:
        """Of the probabilities of so many heads."""
        return self.some.stop - self.some.start, heads, self.queries, self.keys


class Cache(NamedTuple):
    """The arguments that backward needs, the groups, and the probabilities of each, (n, A, queries, keys)."""

    query: HostArray
    key: HostArray
    value: HostArray
    keep: HostArray | None
    groups: list[Group]
    probs: list[HostArray]
    heads: int
    scale: float
    dropout_scale: float
    side_by_side: bool


class SideBySide(NamedTuple):
    """Those of `ops.attention`, (B, S, H), and all three side by side, (B, S, 3H)."""

    query: HostArray
    key: HostArray
    value: HostArray
    side_by_side: HostArray


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
    recomputed: bool = False,
    side_by_side: bool = False,
) -> tuple[HostArray, Cache]:
    """query, key, value (B, S, H), mask (B, S) boolean, keep (B, A, S, S) boolean or None -> context (B, S, H)."""
    query, key, value = (_rows_in_place(x) for x in (query, key, value))
    context = empty(query.shape, query.dtype)
    groups = _groups(query, key, mask, heads, scale, mask_value, padding)
    exact = gradients or recomputed
    if not padding and not exact:
        groups = _joined(groups, np.count_nonzero(mask, axis=1), heads)
    probs = [empty(group.shape(heads), query.dtype) for group in groups] if gradients else []

    def part(g: int, some: slice) -> None:
        b, queries, keys, added, small = groups[g]
        q, k, v, out = (_heads(x[b], heads) for x in (query, key, value, context))
        for a in _tiles(some, groups[g]):
            p = probs[g][:, a] if gradients else scratch(4, groups[g].shape(a.stop - a.start), query.dtype)
            _scores(q[:, a, :queries], k[:, a, :keys], scale, scale_query, p)
            if added is not None:
                np.add(p, added.astype(p.dtype), out=p)
            _softmax(p, small=small, exact=exact)
            factor, used = _dropped(p, keep, (b, a), scratch_number=1)
            np.matmul(used, v[:, a, :keys], out=out[:, a, :queries])
            if factor:
                np.multiply(out[:, a, :queries], dropout_scale, out=out[:, a, :queries])
        out[:, some, queries:] = 0

    share_out(_parts(part, len(groups), heads), query.size * query.shape[1])
    return context, Cache(query, key, value, keep, groups, probs, heads, scale, dropout_scale, side_by_side)


def backward(xp: Namespace, dy: HostArray, cache: Cache) -> AttentionGrads | SideBySide:
    """dy (B, S, H) -> gradients of query, key and value."""
    query, key, value, keep, groups, probs, heads, scale, dropout_scale, side_by_side = cache
    dy = _rows_in_place(dy)
    grads = _places(query, side_by_side)

    def part(g: int, some: slice) -> None:
        b, queries, keys, _, _ = groups[g]
        q, k, v, dout, dq, dk, dv = (_heads(x[b], heads) for x in (query, key, value, dy, *grads[:3]))
        for a in _tiles(some, groups[g]):
            p = probs[g][:, a]
            factor, used = _dropped(p, keep, (b, a), scratch_number=1)
            dcontext = dout[:, a, :queries]
            if factor:
                scaled = scratch(0, dcontext.shape, dy.dtype)
                dcontext = np.multiply(dcontext, dropout_scale, out=scaled)
            # context = used v
            np.matmul(used.mT, dcontext, out=dv[:, a, :keys])
            dprobs = scratch(4, p.shape, dy.dtype)
            np.matmul(dcontext, v[:, a, :keys].mT, out=dprobs)
            if factor:
                _, dprobs = _dropped(dprobs, keep, (b, a), scratch_number=1)
            # p = softmax(scores)
            np.subtract(dprobs, np.vecdot(dprobs, p)[..., None], out=dprobs)
            np.multiply(dprobs, p, out=dprobs)
            # scores = q kᵀ scale
            np.matmul(dprobs, k[:, a, :keys], out=dq[:, a, :queries])
            np.multiply(dq[:, a, :queries], scale, out=dq[:, a, :queries])
            np.matmul(dprobs.mT, q[:, a, :queries], out=dk[:, a, :keys])
            np.multiply(dk[:, a, :keys], scale, out=dk[:, a, :keys])
        dq[:, some, queries:] = dk[:, some, keys:] = dv[:, some, keys:] = 0

    share_out(_parts(part, len(groups), heads), query.size * query.shape[1])
    return grads


def _places(query: HostArray, side_by_side: bool) -> AttentionGrads | SideBySide:
    """For the gradients of a query (B, S, H) and of its like."""
    if not side_by_side:
        return AttentionGrads(*(empty(query.shape, query.dtype) for _ in range(3)))
    B, S, H = query.shape
    whole = empty((B, S, 3 * H), query.dtype)
    return SideBySide(whole[..., :H], whole[..., H : 2 * H], whole[..., 2 * H :], whole)


def _groups(
    query: HostArray, key: HostArray, mask: HostArray, heads: int, scale: float, mask_value: float, padding: bool
) -> list[Group]:
    """Neighbours of one length, as many as fit the cache and leave `PARTS` groups for the threads to share.

    The leading keys of a sequence are enough where the others have probability 0: their scores are lowered so far that
    no exponential is left of them.
    """
    B, S, _ = query.shape
    largest = np.empty(B, query.dtype)

    def look(some: slice) -> None:
        largest[some] = _largest(query[some], key[some], heads, scale)

    share_out([(look, some) for some in parts_of(B, 1 if inside() else min(B, PARTS))], 2 * query.size)
    real = np.count_nonzero(mask, axis=1)
    in_front = np.all(mask == (np.arange(S) < real[:, None]), axis=1)
    with np.errstate(over="ignore"):
        enough = UNDERFLOW[query.dtype.char] + 2 * largest
    left_out = (real == S) | ((real > 0) & in_front & ((mask_value == -math.inf) | (enough < -mask_value)))
    share = -(-B // PARTS) if available() > 1 else B
    groups: list[Group] = []
    columns = (real.tolist(), left_out.tolist(), (largest < SMALL).tolist())
    for b, (length, exact, small) in enumerate(zip(*columns, strict=True)):
        added = None if exact else np.where(mask[b], 0, mask_value)
        keys = length if exact else S
        this = Group(slice(b, b + 1), S if padding else keys, keys, added, exact and small)
        most = min(TILE_ELEMENTS // math.prod(this.shape(heads)), share)
        if groups and _alike(groups[-1], this) and b - groups[-1].some.start < most:
            groups[-1] = this._replace(some=slice(groups[-1].some.start, b + 1))
        else:
            groups.append(this)
    return groups


def _joined(groups: list[Group], lengths: HostArray, heads: int) -> list[Group]:
    """Groups side by side whose lengths are near made one, over the keys of the longest: -inf is added to the scores of
    those that a sequence lacks. `lengths` (B) are the sequences' own."""
    found: list[Group] = []
    least = 0
    for group in groups:
        last = found[-1] if found else group
        both = last._replace(
            some=slice(last.some.start, group.some.stop), keys=max(last.keys, group.keys),
            queries=max(last.queries, group.queries),
        )  # fmt: skip
        shortest = min(least, group.keys)
        free = last.added is None and group.added is None and last.small == group.small
        if found and free and shortest >= NEAR * both.keys and math.prod(both.shape(heads)) <= TILE_ELEMENTS:
            found[-1], least = both, shortest
        else:
            found.append(group)
            least = group.keys
    return [_without_missing(group, lengths[group.some]) if group.added is None else group for group in found]


def _without_missing(group: Group, lengths: HostArray) -> Group:
    """The group with what is added to its scores where its sequences have different lengths."""
    if np.all(lengths == group.keys):
        return group
    missing = np.where(np.arange(group.keys) < lengths[:, None], 0, -math.inf)
    return group._replace(added=missing[:, None, None, :])


def _alike(a: Group, b: Group) -> bool:
    return a.added is None and b.added is None and a[1:] == b[1:]


def _parts(part: Any, groups: int, heads: int) -> list[Any]:
    """Calls of `part` for every group and all heads; where there are few groups for the threads to share, for some of
    the heads at a time."""
    number = 1 if inside() else min(max(1, PARTS // max(groups, 1)), heads)
    return [(part, g, some) for g in range(groups) for some in parts_of(heads, number)]


def _rows_in_place(x: HostArray) -> HostArray:
    """x if BLAS can read its rows where they are, else a copy that has them so."""
    return x if x.strides[2] == x.itemsize and x.strides[1] >= x.shape[2] * x.itemsize else np.ascontiguousarray(x)


def _heads(rows: HostArray, heads: int) -> HostArray:
    """(n, S, H) -> a view (n, A, S, D): the columns of head a are a*D .. (a+1)*D-1."""
    n, S, H = rows.shape
    return rows.reshape(n, S, heads, H // heads).transpose(0, 2, 1, 3)


def _tiles(heads: slice, group: Group) -> list[slice]:
    """Heads whose probabilities fit the cache."""
    step = max(1, TILE_ELEMENTS // math.prod(group.shape(1)))
    return [slice(a, min(a + step, heads.stop)) for a in range(heads.start, heads.stop, step)]


def _largest(q: HostArray, k: HostArray, heads: int, scale: float) -> HostArray:
    """No score of a sequence is larger in size: its longest query times its longest key, scaled; (n)."""
    longest = [np.sqrt(np.max(np.vecdot(x, x), axis=(1, 2))) for x in (_heads(q, heads), _heads(k, heads))]
    return np.asarray(abs(scale) * longest[0] * longest[1])


def _scores(q: HostArray, k: HostArray, scale: float, scale_query: bool, out: HostArray) -> None:
    """q kᵀ scale, with the factor where the caller wants it. Both are equally fast: over the scores there are more
    elements to pass, but they lie in the cache and one after the other (measured, forward, heads of 64 and sequences of
    128: 0.95 of the time of scaling the query; of 512: 1.00; heads of 32 and sequences of 128: 0.94)."""
    if scale_query:
        q = np.multiply(q, scale, out=scratch(0, q.shape, q.dtype))
    np.matmul(q, k.mT, out=out)
    if not scale_query:
        np.multiply(out, scale, out=out)


def _softmax(p: HostArray, *, small: bool, exact: bool) -> None:
    """Over the last axis, in place; a row of nothing but -inf becomes zeros. `exact`: the probability of a single key
    is 1, and its gradient therefore 0; without, a multiplication takes the place of a division of four times its time.

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
    if exact:
        np.divide(p, total[..., None], out=p)
    else:
        np.multiply(p, (1 / total)[..., None], out=p)


def _dropped(
    p: HostArray, keep: HostArray | None, where: tuple[slice, slice], scratch_number: int
) -> tuple[bool, HostArray]:
    """Whether there is a dropout, and p with what is dropped set to 0, in scratch: three arrays from that number."""
    if keep is None:
        return False, p
    kept_here = keep[where][..., : p.shape[-2], : p.shape[-1]]
    out = scratch(scratch_number + 2, p.shape, p.dtype)
    kept(p, kept_here, out, scratch_number)
    return True, out


attention = Kernel("attention", forward, backward, serves, hints=("padding", "gradients", "recomputed", "side_by_side"))
