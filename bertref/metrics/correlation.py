"""Numbers against numbers: Pearson's and Spearman's correlation, mean squared and mean absolute error.

Source: scipy's `pearsonr` and `spearmanr`, scikit-learn's `mean_squared_error` and `mean_absolute_error`.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .value import UNDEFINED, Floats, Value, finite, mean, same_shape


def pearson(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """Σ (x - mean x)(y - mean y) / √(Σ (x - mean x)² Σ (y - mean y)²) of (N,) and (N,).

    NaN and undefined if one of them is constant or there are fewer than two examples.
    """
    x, y = _two_columns(labels, predictions)
    if len(x) < 2 or np.all(x == x[0]) or np.all(y == y[0]):
        return UNDEFINED
    return Value(float(np.clip(_direction(x) @ _direction(y), -1.0, 1.0)))


def _direction(x: Floats) -> Floats:
    """x minus its mean, as a unit vector; divided by its largest element first, whose square could overflow."""
    centred = x - np.mean(x)
    scaled = centred / np.max(np.abs(centred))
    unit: Floats = scaled / np.sqrt(scaled @ scaled)
    return unit


def spearman(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """Pearson's correlation of the ranks."""
    x, y = _two_columns(labels, predictions)
    return pearson(ranks(x), ranks(y))


def ranks(values: ArrayLike) -> Floats:
    """From 1 for the smallest of (N,); equal values share the mean of the ranks that they take up."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    average: Floats = np.cumsum(counts) - (counts - 1) / 2
    return average[place]


def mean_squared_error(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """The mean of (x - y)² over all elements of two arrays of one shape; undefined without any."""
    difference = _difference(labels, predictions)
    return mean(difference * difference)


def mean_absolute_error(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """The mean of |x - y| over all elements of two arrays of one shape; undefined without any."""
    return mean(np.abs(_difference(labels, predictions)))


def _difference(labels: ArrayLike, predictions: ArrayLike) -> Floats:
    x, y = finite(labels, "labels"), finite(predictions, "predictions")
    same_shape(x, y, "labels and predictions")
    difference: Floats = (x - y).reshape(-1)
    return difference


def _two_columns(labels: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    x, y = finite(labels, "labels"), finite(predictions, "predictions")
    same_shape(x, y, "labels and predictions")
    if x.ndim != 1:
        raise InputError(f"metric: labels have shape {x.shape}; one number an example is needed")
    return x, y
