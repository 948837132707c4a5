"""Gather of rows: the masked positions for the MLM head, the first token of every sequence for the pooler.

    y[n] = x[index[n]]            x (T, H)   index (N)   y (N, H)
    dx[t] = Σ over n with index[n] = t of dy[n]

Unused prediction slots all point at the first token with weight 0, so duplicates are the rule, not the exception.

Source: `run_pretraining.py`, `gather_indexes`; `modeling.py`, `first_token_tensor`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class GatherCache(NamedTuple):
    """x for its shape and dtype only; index says which rows to add to."""

    x: Array
    index: Array


class GatherGrads(NamedTuple):
    """x (T, H); the index has no gradient."""

    x: Array


def forward(xp: Namespace, x: Array, index: Array) -> tuple[Array, GatherCache]:
    """x (T, H), index (N) integer -> y (N, H)."""
    return xp.take(x, index, axis=0), GatherCache(x, index)


def backward(xp: Namespace, dy: Array, cache: GatherCache) -> GatherGrads:
    """dy (N, H) -> gradient of x."""
    # y = take(x, index)
    return GatherGrads(xp.index_add(xp.zeros_like(cache.x), cache.index, dy))


gather = Op("gather", forward, backward)
