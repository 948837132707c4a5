"""The right numbers in another order: two axes exchanged, or the tokens, the heads, the indices of an axis permuted."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from .beside import Beside, Grouping

Values = Any

SAME_SIZE = 1e-2
"""Relatively, of the sums of squares: another order doesn't change them, but for rounding."""
SKETCH = 8
"""Numbers by which what is permuted is recognised: random sums of all its elements."""
LARGEST = 4096
"""So many things are looked for among each other, at most: the time grows with their square."""


def reordered(seen: Beside) -> Iterator[tuple[str, str]]:
    """A kind of form, and in words, in which order."""
    right, found = (np.where(seen.inside, x, 0.0) for x in (seen.right, seen.found))
    sizes = [float(np.sum(np.square(x))) for x in (right, found)]
    if abs(sizes[0] - sizes[1]) > SAME_SIZE * sizes[0] or not seen.fits(1):
        return
    for i, j in combinations(range(right.ndim), 2):
        if right.shape[i] == right.shape[j] and seen.explained(np.swapaxes(right, i, j)):
            yield "order", f"what it should be, with its axes {seen.axes.names[i]} and {seen.axes.names[j]} exchanged"
    for by in seen.groupings():
        order, made = _permuted(by, right, found, seen.inside)
        if order is not None and seen.explained(made):
            yield "order", f"what it should be, with its {by.label}s in another order: {_in_words(order)}"


def _permuted(by: Grouping, right: Values, found: Values, inside: Values) -> tuple[Values, Values]:
    """The order of groups of the right values that comes nearest to what was found, of those that count, and the
    values in that order; None: some are like none of them, or like several, or it is the same order."""
    apart = [_apart(by, x) for x in (right, found, inside)]
    counts = apart[2].any(axis=1)
    ours, theirs = apart[0][counts], apart[1][counts]
    if not 2 < len(ours) <= LARGEST:
        return None, None
    directions = np.random.default_rng(0).standard_normal((ours.shape[1], SKETCH))
    one, other = ours @ directions, theirs @ directions
    apart_by = np.square(one).sum(axis=1) - 2 * other @ one.T
    order = apart_by.argmin(axis=1)
    if len(np.unique(order)) < len(order) or np.array_equal(order, np.arange(len(order))):
        return None, None
    made = apart[0].copy()
    made[counts] = ours[order]
    return order, _together(by, made, right.shape)


def _apart(by: Grouping, x: Values) -> Values:
    """(groups, elements of each)"""
    moved = np.moveaxis(x.reshape(by.shape), by.kept, range(len(by.kept)))
    return moved.reshape(by.number, -1)


def _together(by: Grouping, x: Values, shape: tuple[int, ...]) -> Values:
    """What `_apart` took apart."""
    others = [size for axis, size in enumerate(by.shape) if axis not in by.kept]
    moved = x.reshape(*(by.shape[axis] for axis in by.kept), *others)
    return np.moveaxis(moved, range(len(by.kept)), by.kept).reshape(shape)


def _in_words(order: Values) -> str:
    """What permutation it is."""
    n = len(order)
    inside = np.arange(n)
    if np.array_equal(order, inside[::-1]):
        return "the last comes first"
    shift = int(order[0])
    if np.array_equal(order, (inside + shift) % n):
        return f"{shift} further on, in a circle"
    for height in range(2, n // 2 + 1):
        if n % height == 0 and np.array_equal(order, inside.reshape(height, -1).T.ravel()):
            return f"as if {height} times {n // height} of them were {n // height} times {height}"
    moved = np.flatnonzero(order != inside)
    if len(moved) == 2:
        return f"{moved[0]} and {moved[1]} are exchanged"
    return f"{len(moved)} of {n} are elsewhere"
