"""Are the right labels predicted, any number of them for an example: labels and predictions are 0 and 1, (N, K).

Source: scikit-learn's metrics of multi-label indicators.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .averages import AVERAGES, Counts, Scores, each, macro
from .value import UNDEFINED, Floats, Integers, Value, finite, mean, same_shape, zeros_and_ones

Average: TypeAlias = Literal["micro", "macro", "weighted", "samples"]


def subset_accuracy(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """The share of examples whose labels are all right; undefined without examples."""
    true, found = _marks(labels, predictions)
    return mean(np.all(true == found, axis=1).astype(np.float64))


def precision_recall_f1(labels: ArrayLike, predictions: ArrayLike, average: Average = "micro") -> Scores:
    """Over the K labels; `samples`: of each example over its labels, then the mean over examples, in which one without
    any label or prediction counts as 0 and makes it undefined.

    Raises `InputError` for an average that isn't known.
    """
    true, found = _marks(labels, predictions)
    if average == "samples":
        return macro(_counts(true.T, found.T))
    if average not in AVERAGES:
        raise InputError(f"metric: there is no average {average!r}; choose one of {', '.join([*AVERAGES, 'samples'])}")
    return AVERAGES[average](_counts(true, found))


def scores_by_label(labels: ArrayLike, predictions: ArrayLike) -> list[Scores]:
    """Precision, recall, F1 and support of each label, K rows."""
    return each(_counts(*_marks(labels, predictions)))


def label_ranking_average_precision(labels: ArrayLike, scores: ArrayLike) -> Value:
    """Of each true label, the share of true ones among the labels that score as much or more; the mean over the true
    labels of an example, then over examples. One with no true label, or all, counts as 1."""
    true, values = zeros_and_ones(labels, "labels"), finite(scores, "scores")
    _check(true, values, "labels and scores")
    rows = [_row_precision(row == 1, value) for row, value in zip(true, values, strict=True)]
    return mean(np.array(rows)) if rows else UNDEFINED


def _row_precision(true: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], scores: Floats) -> float:
    if true.all() or not true.any():
        return 1.0
    return float(np.mean(_last_rank(-scores[true]) / _last_rank(-scores)[true]))


def _last_rank(values: Floats) -> Floats:
    """How many elements are as small or smaller."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: Floats = np.cumsum(counts).astype(np.float64)
    return last[place]


def _counts(true: Integers, found: Integers) -> Counts:
    return Counts((true & found).sum(axis=0), found.sum(axis=0), true.sum(axis=0))


def _marks(labels: ArrayLike, predictions: ArrayLike) -> tuple[Integers, Integers]:
    true, found = zeros_and_ones(labels, "labels"), zeros_and_ones(predictions, "predictions")
    _check(true, found, "labels and predictions")
    return true, found


def _check(true: Integers, other: Integers | Floats, names: str) -> None:
    same_shape(true, other, names)
    if true.ndim != 2 or not true.shape[1]:
        raise InputError(f"metric: labels have shape {true.shape}; (examples, labels) is needed")
