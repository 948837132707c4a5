"""Is a model as often right as it says: reliability bins, expected calibration error, Brier score.

`probabilities` are (N,) of the positive class, with labels 0 and 1, or (N, K) of K classes, with class numbers. The
confidence of a prediction is the probability of the class that is predicted.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2; Brier 1950.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .value import UNDEFINED, Floats, Integers, Value, class_numbers, finite, mean


class ReliabilityBins(NamedTuple):
    """M bins of equal width. Bin m holds the confidences in (edges[m], edges[m + 1]], the first also 0.

    edges (M + 1,); the others (M,). `confidence` and `accuracy` are means, NaN in a bin that holds nothing.
    """

    edges: Floats
    counts: Integers
    confidence: Floats
    accuracy: Floats


def reliability_bins(labels: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> ReliabilityBins:
    """How often predictions of about the same confidence are right.

    Raises `InputError` for a probability outside [0, 1], shapes that don't fit, or fewer bins than one.
    """
    if bins < 1:
        raise InputError(f"metric: {bins} bins; one is needed at least")
    numbers, by_class = _classes(labels, probabilities)
    predicted = np.argmax(by_class, axis=1)
    confidence = by_class[np.arange(len(numbers)), predicted]
    edges = np.arange(bins + 1) / bins
    place = np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(edges, counts, np.bincount(place, confidence, bins) / counts,
                               np.bincount(place, predicted == numbers, bins) / counts)  # fmt: skip


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> Value:
    """Σ (share of examples in the bin) x |accuracy - confidence|; undefined without examples."""
    found = reliability_bins(labels, probabilities, bins)
    filled = found.counts > 0
    if not filled.any():
        return UNDEFINED
    gap = np.abs(found.accuracy - found.confidence)[filled] * found.counts[filled]
    return Value(math.fsum(gap.tolist()) / int(found.counts.sum()))


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> Value:
    """The mean of (p - y)² for (N,); for (N, K) the mean over examples of Σ over classes (p - [label is this class])²,
    Brier's own form, which is twice the other for two classes. Undefined without examples."""
    numbers, by_class = _classes(labels, probabilities)
    squares = (by_class - (numbers[:, None] == np.arange(by_class.shape[1]))) ** 2
    return mean(squares[:, 1] if np.ndim(probabilities) == 1 else squares.sum(axis=1))


def _classes(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Integers, Floats]:
    """Labels (N,) and probabilities (N, K), checked; K = 2 where those of the positive class were given."""
    numbers, given = class_numbers(labels, "labels"), finite(probabilities, "probabilities")
    if given.ndim not in (1, 2) or len(given) != len(numbers):
        raise InputError(f"metric: probabilities have shape {given.shape}, labels {numbers.shape}; they don't fit")
    if np.any((given < 0) | (given > 1)):
        raise InputError("metric: a probability lies outside 0 to 1; are these logits?")
    by_class: Floats = np.stack([1 - given, given], axis=1) if given.ndim == 1 else given
    K = by_class.shape[1]
    if numbers.size and numbers.max() >= K:
        raise InputError(f"metric: there is a class {numbers.max()}, but only {K} classes have probabilities")
    return numbers, by_class
