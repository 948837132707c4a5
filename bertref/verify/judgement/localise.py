"""Where in a tensor the error sits: its worst element, and the rows, heads, positions, segments that carry it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..graph.axes import split
from ..graph.steps import Graph
from ..records import Case, Place

Floats = npt.NDArray[Any]

MOST = 0.95
"""What carries this share of the squared error, while it is no more than half of the elements, is named."""

NAMED = 3
"""So many indices of an axis at most are named one by one."""

BY_HEAD = ("query", "key", "value", "context")


def place(graph: Graph, name: str, error: Floats, expected: Floats, found: Floats) -> Place:
    """`error` is 0 where nothing is asked. Not-finite elements are the worst of all."""
    size = np.where(np.isfinite(error), np.abs(error), np.inf)
    index = np.unravel_index(int(np.argmax(size)), size.shape) if size.ndim else ()
    weights = np.where(np.isinf(size), 1.0, 0.0) if np.isinf(size).any() else size**2
    words = tuple(_concentrated(graph, name, weights))
    at = tuple(int(i) for i in index)
    return Place(at, float(expected[at]), float(found[at]), words)


def _concentrated(graph: Graph, name: str, weights: Floats) -> Iterator[str]:
    total = weights.sum()
    if weights.ndim == 0 or not total > 0:
        return
    axes = graph.axes(name)
    counts = np.ones(axes.shape, bool) if axes.counts is None else axes.counts
    for axis, label in enumerate(axes.names):
        others = tuple(i for i in range(weights.ndim) if i != axis)
        yield from _few(label, weights.sum(axis=others) / total, counts.sum(axis=others) > 0)
    config = graph.case.config
    if axes.names[-1] == "channel" and split(name)[1].rsplit(".", 1)[-1] in BY_HEAD:
        by_head = weights.reshape(-1, config.num_attention_heads, config.head_size).sum(axis=(0, 2)) / total
        yield from _few("head", by_head, np.ones(len(by_head), bool))
    if axes.names[:2] == ("row", "position"):
        rest = tuple(range(2, weights.ndim))
        yield from _segment(graph.case, weights.sum(axis=rest) / total)
    if axes.names[-1:] == ("key",):
        padded = ~graph.case.batch.attention_mask.astype(bool)
        shares = weights.sum(axis=(1, 2)) / total
        if padded.any() and shares[padded].sum() > MOST:
            yield "padded keys"


def _few(label: str, shares: Floats, there: npt.NDArray[Any]) -> Iterator[str]:
    """The indices that carry nearly everything, if they are few of many."""
    order = np.argsort(-shares)
    needed = int(np.searchsorted(np.cumsum(shares[order]), MOST)) + 1
    if needed * 2 > there.sum():
        return
    if needed <= NAMED:
        yield from (f"{label} {i}" for i in sorted(order[:needed].tolist()))
    else:
        yield f"{needed} of {int(there.sum())} {label}s"


def _segment(case: Case, shares: Floats) -> Iterator[str]:
    tokens, types = case.batch.attention_mask.astype(bool), case.batch.token_type_ids
    for number, letter in ((0, "A"), (1, "B")):
        inside = tokens & (types == number)
        if 0 < inside.sum() < tokens.sum() and shares[inside].sum() > MOST:
            yield f"segment {letter}"
