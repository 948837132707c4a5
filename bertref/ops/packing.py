"""Between the packed layout, real tokens only, and the padded one, a rectangle.

    unpack:  y[b,s] = x[t]   if token t stands at position s of sequence b, else 0        x (T, H) -> y (B*S, H)
    pack:    y[t]   = x[b,s]                                                            x (B*S, H) -> y (T, H)

Each is the transpose of the other, so each is the other's gradient:

    unpack: dx[t] = dy[b,s]        pack: dx[b,s] = dy[t], and 0 at the padding

`slots` (B*S) names the token of every place (0 where there is none), `valid` (B*S) says whether there is one,
`places` (T)
names the place of every token.

Source: ours; the idea is older than BERT (Zeng et al. 2022, "Boosting distributed training performance of the unpadded
BERT model", describe it for BERT).
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class PackingCache(NamedTuple):
    """The three index arrays: the op is nothing else."""

    slots: Array
    valid: Array
    places: Array


class PackingGrads(NamedTuple):
    """x, in the layout it came in; the indices have no gradient."""

    x: Array


def unpack_forward(xp: Namespace, x: Array, slots: Array, valid: Array, places: Array) -> tuple[Array, PackingCache]:
    """x (T, H) -> y (B*S, H)."""
    return _spread(xp, x, slots, valid), PackingCache(slots, valid, places)


def unpack_backward(xp: Namespace, dy: Array, cache: PackingCache) -> PackingGrads:
    """dy (B*S, H) -> gradient of x (T, H)."""
    # y[places[t]] = x[t]
    return PackingGrads(xp.take(dy, cache.places, axis=0))


def pack_forward(xp: Namespace, x: Array, slots: Array, valid: Array, places: Array) -> tuple[Array, PackingCache]:
    """x (B*S, H) -> y (T, H)."""
    return xp.take(x, places, axis=0), PackingCache(slots, valid, places)


def pack_backward(xp: Namespace, dy: Array, cache: PackingCache) -> PackingGrads:
    """dy (T, H) -> gradient of x (B*S, H)."""
    # y[t] = x[places[t]]
    return PackingGrads(_spread(xp, dy, cache.slots, cache.valid))


def _spread(xp: Namespace, x: Array, slots: Array, valid: Array) -> Array:
    rows = xp.take(x, slots, axis=0)
    return xp.where(xp.expand_dims(valid, axis=1), rows, xp.zeros_like(rows))


unpack = Op("unpack", unpack_forward, unpack_backward)
pack = Op("pack", pack_forward, pack_backward)
