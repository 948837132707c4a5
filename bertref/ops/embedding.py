"""Embedding lookup: a row of a table for every id.

    y[n] = table[ids[n]]            table (V, H)   ids (N)   y (N, H)

Gradient. A row that was looked up several times receives the sum of what came back from each place; a row that was not
looked up receives 0:

    dtable[v] = Σ over n with ids[n] = v of dy[n]

The sum over duplicate ids is the whole difficulty: a plain assignment keeps only the last, and an atomic addition is
not reproducible. `xp.index_add` adds them in a fixed order.

Ids outside [0, V) are refused on the host when the batch is made (`bertref.data.batch.Batch.validate`); here a backend
may raise or return anything. Google's table has no special padding row, and so has none here.

Source: Devlin et al. 2019, figure 2; `modeling.py`, `embedding_lookup`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class EmbeddingCache(NamedTuple):
    """The table is kept for its shape and dtype only; the ids say which rows to add to."""

    table: Array
    ids: Array


class EmbeddingGrads(NamedTuple):
    """table (V, H); ids are integers and have no gradient."""

    table: Array


def forward(xp: Namespace, table: Array, ids: Array) -> tuple[Array, EmbeddingCache]:
    """table (V, H), ids (N) integer -> y (N, H)."""
    return xp.take(table, ids, axis=0), EmbeddingCache(table, ids)


def backward(xp: Namespace, dy: Array, cache: EmbeddingCache) -> EmbeddingGrads:
    """dy (N, H) -> gradient of the table."""
    # y = take(table, ids)
    return EmbeddingGrads(xp.index_add(xp.zeros_like(cache.table), cache.ids, dy))


embedding = Op("embedding", forward, backward)
