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

NEARLY_ZERO = 1e-3
"""Of the mean square of the right values: where they are smaller, an error isn't relative to them."""

BY_HEAD = ("query", "key", "value", "context")


def place(graph: Graph, name: str, error: Floats, expected: Floats, found: Floats) -> Place:
    """`error` is 0 where nothing is asked. Not-finite elements are the worst of all."""
    size = np.where(np.isfinite(error), np.abs(error), np.inf)
    index = np.unravel_index(int(np.argmax(size)), size.shape) if size.ndim else ()
    weights = np.where(np.isinf(size), 1.0, 0.0) if np.isinf(size).any() else size**2
    words = tuple(_concentrated(graph, name, weights, np.square(expected)))
    at = tuple(int(i) for i in index)
    axes = graph.axes(name)
    by_row = axes.names[:1] == ("row",) and axes.shape[0] == len(graph.case.batch)  # of choices, a row has several
    single = by_row and _tokens(graph.case, at[0]) == 1
    return Place(at, float(expected[at]), float(found[at]), words, single)


def _concentrated(graph: Graph, name: str, weights: Floats, sizes: Floats) -> Iterator[str]:
    """`weights` is the squared error, `sizes` the squared right values."""
    total = weights.sum()
    if weights.ndim == 0 or not total > 0:
        return
    axes = graph.axes(name)
    counts = np.ones(axes.shape, bool) if axes.counts is None else axes.counts
    for axis, label in enumerate(axes.names):
        others = tuple(i for i in range(weights.ndim) if i != axis)
        few = _few(label, weights.sum(axis=others), sizes.sum(axis=others), counts.sum(axis=others) > 0)
        yield from (_single_token(graph.case, word) if label == "row" else word for word in few)
    config = graph.case.config
    if axes.names[-1] == "channel" and split(name)[1].rsplit(".", 1)[-1] in BY_HEAD:
        shape = (-1, config.num_attention_heads, config.head_size)
        wrong, right = (x.reshape(shape).sum(axis=(0, 2)) for x in (weights, sizes))
        yield from _few("head", wrong, right, np.ones(config.num_attention_heads, bool))
    if axes.names[:2] == ("row", "position"):
        rest = tuple(range(2, weights.ndim))
        yield from _segment(graph.case, weights.sum(axis=rest) / total)
    if axes.names[-1:] == ("key",):
        padded = ~graph.case.batch.attention_mask.astype(bool)
        shares = weights.sum(axis=(1, 2)) / total
        if padded.any() and shares[padded].sum() > MOST:
            yield "padded keys"


def _few(label: str, weights: Floats, sizes: Floats, there: npt.NDArray[Any]) -> Iterator[str]:
    """The indices that carry nearly everything, if they are few of many, and not just because the right values are
    large there: a factor common to all elements is nowhere in particular."""
    shares = weights / weights.sum()
    order = np.argsort(-shares)
    needed = int(np.searchsorted(np.cumsum(shares[order]), MOST)) + 1
    chosen = order[:needed]
    if needed * 2 > there.sum() or (sizes.any() and _relative(weights, sizes)[chosen].sum() < MOST):
        return
    if needed <= NAMED:
        yield from (f"{label} {i}" for i in sorted(chosen.tolist()))
    else:
        yield f"{needed} of {int(there.sum())} {label}s"


def _relative(weights: Floats, sizes: Floats) -> Floats:
    """Each index's share of the error relative to the right values; such as are nearly 0 aren't divided by."""
    relative = weights / np.maximum(sizes, NEARLY_ZERO * sizes.mean())
    return np.asarray(relative / relative.sum())


def _single_token(case: Case, word: str) -> str:
    """ "row 1", with a remark if that row has one token: there is nothing to attend to, and little to normalise."""
    number = word.removeprefix("row ")
    single = number.isdigit() and _tokens(case, int(number)) == 1
    return f"{word} (the row of a single token)" if single else word


def _tokens(case: Case, row: int) -> int:
    return int(case.batch.attention_mask[row].sum())


def _segment(case: Case, shares: Floats) -> Iterator[str]:
    tokens, types = case.batch.attention_mask.astype(bool), case.batch.token_type_ids
    for number, letter in ((0, "A"), (1, "B")):
        inside = tokens & (types == number)
        if 0 < inside.sum() < tokens.sum() and shares[inside].sum() > MOST:
            yield f"segment {letter}"
