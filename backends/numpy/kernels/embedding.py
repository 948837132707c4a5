"""Embedding lookup, and the sum over duplicate ids without a walk over all of them one by one.

Ids are sorted, so that the rows of one id stand together. An id that occurs once, as most words do, is one row to copy;
the rows of any other are one sum over an axis.
"""

from typing import Any

import numpy as np

from ....arrays import Namespace
from ....ops.embedding import EmbeddingCache, EmbeddingGrads
from ....ops.op import Kernel
from .buffers import HostArray, empty
from .rows import over_rows, reals


def serves(table: Any, ids: Any) -> bool:
    """A table (V, H) of float32 or float64, ids (N) of rows that it has (who makes them checks that)."""
    whole = isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind in "iu" and ids.size > 0
    return whole and reals(table) and table.ndim == 2


def forward(xp: Namespace, table: HostArray, ids: HostArray) -> tuple[HostArray, EmbeddingCache]:
    """table (V, H), ids (N) integer -> y (N, H)."""
    y = empty((len(ids), table.shape[1]), table.dtype)
    return np.take(table, ids, axis=0, out=y, mode="clip"), EmbeddingCache(table, ids)


def backward(xp: Namespace, dy: HostArray, cache: EmbeddingCache) -> EmbeddingGrads:
    """dy (N, H) -> gradient of the table."""
    table, ids = cache
    total = empty(table.shape, table.dtype)

    def clear(_: int, r: slice) -> None:
        total[r] = 0

    over_rows(clear, *table.shape)
    order = np.argsort(ids, kind="stable")
    arranged = ids[order]
    starts = np.flatnonzero(np.append(True, arranged[1:] != arranged[:-1]))
    counts = np.diff(np.append(starts, len(ids)))
    once = starts[counts == 1]
    total[arranged[once]] = dy[order[once]]
    for start, count in zip(starts[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        np.add.reduce(dy[order[start : start + count]], axis=0, out=total[arranged[start]])
    return EmbeddingGrads(total)


embedding = Kernel("embedding", forward, backward, serves)
