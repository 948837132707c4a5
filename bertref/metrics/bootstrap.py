"""How sure is a figure: how much it varies over draws of N of the N examples, with replacement.

The percentile bootstrap: the figure is computed of each of n such resamples; the interval leaves out (1 - level) / 2 of
these figures on either side. It is about the choice of examples, not about that of the training's seed. The numbers
come from NumPy's Philox, so a seed gives the same interval again.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .value import Floats, Value, finite

_DRAWN_AT_ONCE = 2**20
"""Examples; so that memory does not grow with n x N."""
_FEW = 64
"""Distinct values, up to which drawing their counts is the faster way."""


class Interval(NamedTuple):
    """`undefined` resamples (one class only, ...) were left out; NaN if that is all of them."""

    low: float
    high: float
    level: float
    undefined: int


def interval(
    metric: Callable[..., Value], *columns: ArrayLike, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Of any metric. `columns` are its arguments, each with N rows, which are drawn together.

    Raises `InputError` if the columns differ in length, are empty, or an option makes no sense.
    """

    def named(*rows: np.ndarray[Any, Any]) -> dict[str, Value]:
        return {"": metric(*rows)}

    return intervals(named, *columns, resamples=resamples, level=level, seed=seed)[""]


def intervals(
    metrics: Callable[..., Mapping[str, Value]], *columns: ArrayLike, resamples: int = 1000, level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:  # fmt: skip
    """As `interval`, of several metrics by name, which are computed from the same resamples."""
    rows: list[np.ndarray[Any, Any]] = [np.asarray(column) for column in columns]
    if len({len(row) for row in rows}) != 1:
        raise InputError(
            f"bootstrap: the columns have {', '.join(str(len(row)) for row in rows)} rows; they must agree"
        )
    N = len(rows[0])
    random = _generator(N, resamples, level, seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = random.integers(0, N, N)
        for name, value in metrics(*(row[drawn] for row in rows)).items():
            found.setdefault(name, []).extend([] if value.undefined else [value.value])
    return {
        name: _percentiles(np.array(values), level, undefined=resamples - len(values)) for name, values in found.items()
    }


def mean_interval(values: ArrayLike, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Of the mean of (N,) numbers: accuracy from zeros and ones, exact match, any figure that is a mean over examples.

    Where few of the numbers differ, it draws how often each occurs in a resample (multinomial) instead of N examples:
    the same distribution in a fraction of the time, with other random numbers than `interval`.
    """
    numbers = finite(values, "values")
    if numbers.ndim != 1:
        raise InputError(f"bootstrap: values have shape {numbers.shape}; one number an example is needed")
    random = _generator(numbers.size, resamples, level, seed)
    distinct, counts = np.unique(numbers, return_counts=True)
    if distinct.size <= _FEW:
        drawn = random.multinomial(numbers.size, counts / numbers.size, size=resamples)
        return _percentiles(drawn @ distinct / numbers.size, level, undefined=0)
    return _percentiles(_means(random, numbers, resamples), level, undefined=0)


def _means(random: np.random.Generator, numbers: Floats, resamples: int) -> Floats:
    block = max(1, _DRAWN_AT_ONCE // numbers.size)
    sizes = [min(block, resamples - done) for done in range(0, resamples, block)]
    parts = [numbers[random.integers(0, numbers.size, (size, numbers.size))].mean(axis=1) for size in sizes]
    return np.concatenate(parts)


def _generator(N: int, resamples: int, level: float, seed: int) -> np.random.Generator:
    if not N:
        raise InputError("bootstrap: there are no examples to draw from")
    if resamples < 1:
        raise InputError(f"bootstrap: {resamples} resamples; one is needed at least")
    if not 0 < level < 1:
        raise InputError(f"bootstrap: the level is {level}; it lies between 0 and 1")
    return np.random.Generator(np.random.Philox(key=seed))


def _percentiles(found: Floats, level: float, undefined: int) -> Interval:
    if not found.size:
        return Interval(np.nan, np.nan, level, undefined)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, undefined)
