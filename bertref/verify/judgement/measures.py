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

from ..graph.axes import Axes

Floats = npt.NDArray[Any]
Measures = dict[str, Floats]
"""Measure -> mean squares of its blocks. Names of drifts begin with "drift:"."""

DRIFT = "drift:"
DRIFTS = {
    "gain": "a factor common to all elements",
    "gain by row": "a factor for each row",
    "offset by row": "something added to each row as a whole",
    "offset by channel": "something added to each channel as a whole",
    "bin": "something added to elements of about the same input or size",
}
"""What an error is that a drift measures."""

SMALLEST_BLOCK = 8
"""Elements of the smallest block that is judged by itself. Fewer: the mean square of a few errors is large by chance,
and right implementations exceed the limit (calibrated as in `noise_floor`)."""
BIN = 24
"""Elements of a bin at least, for the same reason."""
BINS = 16
"""Bins at most. Fewer: an error in the tail of a GELU is averaged with its middle."""
SAMPLE = 20_000
"""Elements from which bins are filled at most, evenly taken. More takes longer; fewer miss a narrow tail."""

PIECE = 1 << 18
"""Elements of a large answer that are measured at a time: few enough to stay in the cache."""


def in_words(measure: str, at: int, blocks: int) -> str:
    """A measure, and what it measures; `at` is one of its blocks."""
    if measure.startswith(DRIFT):
        return f"{measure}, {DRIFTS[measure.removeprefix(DRIFT)]}"
    if measure == "bin":
        return f"bin {at} of {blocks}, elements of about the same input or size"
    return "all elements together" if measure == "all" else f"{measure} {at} taken by itself"


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


def mean_square(x: Floats, axes: Axes) -> float:
    """Of what counts; elsewhere x is 0."""
    total = x.size if axes.counts is None else int(np.count_nonzero(axes.counts))
    flat = x.reshape(-1)
    return float(np.dot(flat, flat)) / max(total, 1)


def blocks_of(x: Floats, axes: Axes, along: Floats | None = None) -> Measures:
    """The mean squares of x itself, block by block and by bins."""
    if not _large(axes):
        return size_blocks(np.square(x), axes) | binned(x, along, axes)
    return _large_measure(x, None, axes, drift=False) | binned(x, along, axes)


def compared(found: Floats, expected: Floats, axes: Axes, along: Floats | None = None, *, drift: bool) -> Measures:
    """`measure` of the difference of `found`, of any type, to `expected`, both 0 where nothing counts."""
    if not _large(axes):
        return measure(found - expected, expected, axes, along, drift=drift)
    return _large_measure(found, expected, axes, drift=drift)


def _large(axes: Axes) -> bool:
    """Whether an answer is a matrix of parameters too large for a few passes over all of it."""
    return axes.counts is None and len(axes.shape) == 2 and axes.shape[0] * axes.shape[1] > PIECE


def _large_measure(found: Floats, expected: Floats | None, axes: Axes, *, drift: bool) -> Measures:
    """`measure` of found - expected (of found, without `expected`), some rows at a time, so that they stay in the
    cache."""
    (height, width), drift = axes.shape, drift and expected is not None
    rows = max(PIECE // width, 1)
    by_row, row_sums, products, lengths = (np.zeros(height) for _ in range(4))
    by_column, column_sums = np.zeros(width), np.zeros(width)
    for start in range(0, height, rows):
        part = slice(start, start + rows)
        goal = None if expected is None else expected[part]
        error = found[part].astype(np.float64) if goal is None else found[part] - goal
        squares = error * error
        by_row[part] = squares.sum(axis=1)
        by_column += squares.sum(axis=0)
        if drift and goal is not None:
            row_sums[part] = error.sum(axis=1)
            column_sums += error.sum(axis=0)
            centred = goal - goal.mean(axis=1, keepdims=True)
            products[part] = np.einsum("ij,ij->i", error, centred)
            lengths[part] = np.einsum("ij,ij->i", centred, centred)
    total = height * width
    measures: Measures = {"all": np.asarray([by_row.sum() / total])}
    for name, sums, number in zip(axes.names, (by_row, by_column), (width, height), strict=True):
        if number >= SMALLEST_BLOCK:
            measures[name] = sums / number
    if drift and expected is not None:
        measures |= _bins(found, expected)
        measures |= _drifts(products, lengths, row_sums, column_sums)
    return measures


def _bins(found: Floats, expected: Floats) -> Measures:
    flat, goal = found.reshape(-1), expected.reshape(-1)
    step = -(-flat.size // SAMPLE)
    goal = goal[::step]
    return _binned(flat[::step] - goal, np.abs(goal))


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
    return found | _drifts(products, lengths, rows.sum(axis=1), rows.sum(axis=0))


def _drifts(products: Floats, lengths: Floats, row_sums: Floats, column_sums: Floats) -> Measures:
    """From every row's product with its centred goal, that goal's squared length, and the sums of errors."""
    found: Measures = {}
    height, width, real = len(row_sums), len(column_sums), lengths > 0
    if width >= SMALLEST_BLOCK and real.any():
        found[DRIFT + "gain by row"] = np.asarray([np.mean(products[real] ** 2 / lengths[real])])
        found[DRIFT + "offset by row"] = np.asarray([np.mean(row_sums**2) / width])
    if lengths.sum() > 0 and height * width >= SMALLEST_BLOCK:
        found[DRIFT + "gain"] = np.asarray([products.sum() ** 2 / lengths.sum()])
    if height >= SMALLEST_BLOCK:
        found[DRIFT + "offset by channel"] = np.asarray([np.mean(column_sums**2) / height])
    return found


def gains_of_rounding(x: Floats, squares: Floats | None = None) -> Measures:
    """What the drifts along x are for independent errors whose mean squares are `squares`, those of x's own elements
    without: where few elements are much larger than the others, far more than the mean square of them all."""
    rows = x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)
    sizes = rows if squares is None else squares.reshape(rows.shape)
    height = max(PIECE // max(rows.shape[1], 1), 1)
    products, lengths = np.zeros(len(rows)), np.zeros(len(rows))
    for start in range(0, len(rows), height):  # few at a time, so that they stay in the cache
        part = slice(start, start + height)
        centred = np.square(rows[part] - rows[part].mean(axis=1, keepdims=True))
        of = np.square(sizes[part]) if squares is None else sizes[part]
        products[part], lengths[part] = np.einsum("ij,ij->i", of, centred), centred.sum(axis=1)
    real = lengths > 0
    if not real.any():
        return {}
    return {
        DRIFT + "gain by row": np.asarray([np.mean(products[real] / lengths[real])]),
        DRIFT + "gain": np.asarray([products.sum() / lengths.sum()]),
    }


def binned(error: Floats, along: Floats | None, axes: Axes, expected: Floats | None = None) -> Measures:
    """Blocks of elements whose input, or else expected size, is about the same; none for few elements.

    Without `expected` the error itself is taken for it."""
    by = along if along is not None else error if expected is None else expected
    flat, by = error.reshape(-1), by.reshape(-1)
    if axes.counts is not None:
        kept = axes.counts.reshape(-1)
        flat, by = flat[kept], by[kept]
    step = max(-(-flat.size // SAMPLE), 1)
    return _binned(flat[::step], by[::step] if along is not None else np.abs(by[::step]))


def _binned(flat: Floats, by: Floats) -> Measures:
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


def row_gain_jumps(error: Floats, expected: Floats, inputs: Floats, axes: Axes) -> float:
    """The part of a norm's error that is a factor for each row and jumps from one row to the next, as a mean square
    like the drift "gain by row": half the squared differences of the factors of rows whose inputs have neighbouring
    variances."""
    rows = (x.reshape(-1, x.shape[-1]) for x in (error, expected, inputs))
    if axes.counts is not None:
        used = axes.counts.reshape(-1, axes.counts.shape[-1]).any(axis=1)
        rows = (x[used] for x in rows)
    wrong, goal, given = rows
    goal = goal - goal.mean(axis=1, keepdims=True)
    lengths = np.einsum("ij,ij->i", goal, goal)
    real = lengths > 0
    if np.count_nonzero(real) < SMALLEST_BLOCK:
        return 0.0
    factors = np.einsum("ij,ij->i", wrong, goal)[real] / lengths[real]
    jumps = np.diff(factors[np.argsort(given[real].var(axis=1), kind="stable")])
    return float(np.mean(jumps**2) / 2 * np.mean(lengths[real]))
