"""Measures of an error tensor, each a mean square, so that two errors can be compared measure by measure.

    size    over all elements, over each index of each axis (this row, that head), and over bins of elements that
            should have about the same value: an error in one head or in the tail of a GELU is not averaged away
    drift   sums of signed errors where rounding errors would cancel: along the expected values (a wrong factor, an
            epsilon), over a row, over a channel, over a bin. A thousand errors of a tenth of the rounding are nothing
            in size, and if they all point the same way, impossible

A drift is normalised so that independent errors of one size give that size.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .axes import Axes

Floats = npt.NDArray[Any]
Measures = dict[str, Floats]
"""Measure -> mean squares of its blocks. Names of drifts begin with "drift:"."""

SMALLEST_BLOCK = 8
BIN = 24
BINS = 16
SAMPLE = 20_000
"""Bins are filled from so many elements at most, evenly taken."""
DRIFT = "drift:"


def size_blocks(squares: Floats, axes: Axes) -> Measures:
    """Mean squares over all that counts and along each axis; blocks of too few elements are NaN."""
    counts = axes.counts
    total = squares.size if counts is None else int(np.count_nonzero(counts))
    found: Measures = {"all": np.asarray([squares.sum() / max(total, 1)])}
    if squares.ndim < 2:
        return found
    for axis, name in enumerate(axes.names):
        others = tuple(i for i in range(squares.ndim) if i != axis)
        sums = squares.sum(axis=others)
        number = np.full(len(sums), squares.size // max(len(sums), 1)) if counts is None else _count(counts, axis)
        enough = number >= SMALLEST_BLOCK
        if enough.any():
            found[name] = np.where(enough, sums / np.maximum(number, 1), np.nan)
    return found


def _count(counts: Floats, axis: int) -> Floats:
    """How many elements count at each index of an axis; a last axis that is broadcast counts as a whole."""
    last = counts.ndim - 1
    broadcast = counts.strides[last] == 0
    thin = counts[..., :1] if broadcast else counts
    width = counts.shape[last] if broadcast else 1
    if axis == last and broadcast:
        return np.full(counts.shape[last], int(np.count_nonzero(thin)))
    others = tuple(i for i in range(counts.ndim) if i != axis)
    return np.asarray(thin.sum(axis=others) * width)


def measure(error: Floats, expected: Floats, axes: Axes, along: Floats | None = None, *, drift: bool) -> Measures:
    """All measures of an error (0 where nothing counts). `along`: the input that an elementwise step follows."""
    found = size_blocks(error * error, axes)
    if not drift or error.ndim == 0 or error.size == 0:
        return found
    found |= binned(error, along, axes, expected)
    rows, goal = error.reshape(-1, error.shape[-1]), expected.reshape(-1, error.shape[-1])
    if axes.counts is not None:
        used = axes.counts.reshape(rows.shape).any(axis=1)
        rows, goal = rows[used], goal[used]
    if not rows.size:
        return found
    centred = goal - goal.mean(axis=1, keepdims=True)
    products, lengths = np.einsum("ij,ij->i", rows, centred), np.einsum("ij,ij->i", centred, centred)
    real = lengths > 0
    if rows.shape[1] >= SMALLEST_BLOCK and real.any():
        found[DRIFT + "gain by row"] = np.asarray([np.mean(products[real] ** 2 / lengths[real])])
        found[DRIFT + "offset by row"] = np.asarray([np.mean(rows.sum(axis=1) ** 2) / rows.shape[1]])
    if lengths.sum() > 0 and rows.size >= SMALLEST_BLOCK:
        found[DRIFT + "gain"] = np.asarray([products.sum() ** 2 / lengths.sum()])
    if len(rows) >= SMALLEST_BLOCK:
        found[DRIFT + "offset by channel"] = np.asarray([np.mean(rows.sum(axis=0) ** 2) / len(rows)])
    return found


def binned(error: Floats, along: Floats | None, axes: Axes, expected: Floats | None = None) -> Measures:
    """Blocks of elements whose input, or else expected size, is about the same; none for few elements.

    Without `expected` the error itself is taken for it."""
    by = along if along is not None else np.abs(error if expected is None else expected)
    flat, by = error.reshape(-1), by.reshape(-1)
    if axes.counts is not None:
        kept = axes.counts.reshape(-1)
        flat, by = flat[kept], by[kept]
    step = max(-(-flat.size // SAMPLE), 1)
    flat, by = flat[::step], by[::step]
    bins = min(BINS, flat.size // BIN)
    if bins < 2:
        return {}
    order = np.argsort(by, kind="stable")
    starts = np.arange(bins) * flat.size // bins
    sizes = np.diff(np.append(starts, flat.size))
    arranged = flat[order]
    squares, sums = np.add.reduceat(arranged**2, starts) / sizes, np.add.reduceat(arranged, starts) ** 2 / sizes
    return {"bin": squares, DRIFT + "bin": np.asarray([np.mean(sums)])}


def elements(axes: Axes, drift: str) -> int:
    """How many errors one sum of a drift measure adds up."""
    total = int(np.prod(axes.shape)) if axes.counts is None else int(np.count_nonzero(axes.counts))
    width = axes.shape[-1] if axes.shape else 1
    which = drift.removeprefix(DRIFT)
    if which.endswith("by row"):
        return width
    if which.endswith("by channel"):
        return total // max(width, 1)
    return min(total, SAMPLE) // BINS if which == "bin" else total


def scatter(error: Floats, along: Floats, axes: Axes) -> Floats:
    """Mean squares, by bins of the input, of the part of an elementwise step's error that jumps from one input to the
    next: half the squared differences of neighbours. A smooth error, however large, hardly has any."""
    flat, by = error.reshape(-1), along.reshape(-1)
    if axes.counts is not None:
        kept = axes.counts.reshape(-1)
        flat, by = flat[kept], by[kept]
    bins = min(BINS, flat.size // BIN)
    if bins < 2:
        return np.zeros(0)
    inputs, at = np.unique(by, return_index=True)
    jumps = np.diff(flat[at]) ** 2 / 2
    edges = np.sort(by)[np.arange(1, bins) * flat.size // bins]
    bin_of = np.searchsorted(edges, inputs[1:], side="right")
    number = np.bincount(bin_of, minlength=bins)
    sums = np.bincount(bin_of, weights=jumps, minlength=bins)
    return np.asarray(np.where(number >= SMALLEST_BLOCK, sums / np.maximum(number, 1), 0.0))
