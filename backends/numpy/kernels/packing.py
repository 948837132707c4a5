"""Packing and unpacking: one copy, or none where no sequence has padding."""

from typing import Any, NamedTuple

import numpy as np

from ....arrays import Namespace
from ....ops.op import Kernel
from ....ops.packing import PackingGrads
from .buffers import HostArray, empty
from .rows import as_rows


class Cache(NamedTuple):
    """Which places of the rectangle hold a token (B*S), and the place of every token (T)."""

    valid: HostArray
    places: HostArray


def serves(x: Any, slots: Any, valid: Any, places: Any) -> bool:
    """Any rows in a NumPy array."""
    return isinstance(x, np.ndarray) and x.ndim == 2


def unpack_forward(xp: Namespace, x: HostArray, slots: Any, valid: Any, places: Any) -> tuple[HostArray, Cache]:
    """x (T, H) -> y (B*S, H); x itself if it has as many rows."""
    return _spread(x, valid, places), Cache(valid, places)


def unpack_backward(xp: Namespace, dy: HostArray, cache: Cache) -> PackingGrads:
    """dy (B*S, H) -> gradient of x (T, H)."""
    return PackingGrads(_picked(dy, cache.places))


def pack_forward(xp: Namespace, x: HostArray, slots: Any, valid: Any, places: Any) -> tuple[HostArray, Cache]:
    """x (B*S, H) -> y (T, H); x itself if every row is a token."""
    return _picked(x, places), Cache(valid, places)


def pack_backward(xp: Namespace, dy: HostArray, cache: Cache) -> PackingGrads:
    """dy (T, H) -> gradient of x (B*S, H)."""
    return PackingGrads(_spread(dy, cache.valid, cache.places))


def _spread(x: HostArray, valid: HostArray, places: HostArray) -> HostArray:
    if len(places) == len(valid):
        return x
    out = empty((len(valid), x.shape[1]), x.dtype)
    out[places] = x
    out[~valid] = 0
    return out


def _picked(x: HostArray, places: HostArray) -> HostArray:
    if len(places) == len(x):
        return x
    out = empty((len(places), x.shape[1]), x.dtype)
    return np.take(as_rows(x), places, axis=0, out=out, mode="clip")


pack = Kernel("pack", pack_forward, pack_backward, serves)
unpack = Kernel("unpack", unpack_forward, unpack_backward, serves)
