"""Do the scores put the positive examples above the others: ROC and precision-recall curves, and the areas under them.

Labels are 0 and 1 (N,), scores (N,) any finite numbers, larger for the positive class. Every distinct score is a
threshold: `score >= threshold` is predicted positive, so examples with equal scores are predicted together. Source:
scikit-learn's `roc_curve` (with `drop_intermediate=False`), `precision_recall_curve` and the areas of those.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .value import UNDEFINED, Floats, Integers, Value, class_numbers, finite, same_shape, zeros_and_ones


class Thresholds(NamedTuple):
    """At each distinct score, from the largest down (T,): how many positive and negative examples lie at or above."""

    scores: Floats
    true_positives: Integers
    false_positives: Integers


def thresholds(labels: ArrayLike, scores: ArrayLike) -> Thresholds:
    """Raises `InputError` unless labels are 0 and 1, scores finite, and both (N,) with N > 0."""
    marks, values = zeros_and_ones(labels, "labels"), finite(scores, "scores")
    same_shape(marks, values, "labels and scores")
    if marks.ndim != 1 or not marks.size:
        raise InputError(f"metric: labels have shape {marks.shape}; one 0 or 1 an example is needed, one at least")
    order = np.argsort(-values, kind="stable")
    ranked, positive = values[order], np.cumsum(marks[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of examples with equal scores
    return Thresholds(ranked[last], positive[last], last + 1 - positive[last])


class RocCurve(NamedTuple):
    """From (0, 0) to (1, 1), T + 1 points; the first threshold is infinite. A class without examples has
    the rate NaN."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """The share of negatives and of positives that is predicted positive, at each threshold."""
    at = thresholds(labels, scores)
    return RocCurve(_share(at.false_positives), _share(at.true_positives), np.concatenate([[math.inf], at.scores]))


def _share(counts: Integers) -> Floats:
    total = counts[-1]
    share: Floats = np.append(0, counts) / total if total else np.full(len(counts) + 1, math.nan)
    return share


def auc(labels: ArrayLike, scores: ArrayLike) -> Value:
    """The area under the ROC curve by the trapezoid rule: the probability that a positive example has a larger score
    than a negative one, with ties as a half. NaN and undefined if there is one class only."""
    at = thresholds(labels, scores)
    positive, negative = int(at.true_positives[-1]), int(at.false_positives[-1])
    if not positive or not negative:
        return UNDEFINED
    new_negatives = np.diff(at.false_positives, prepend=0)
    twice_above = at.true_positives + np.append(0, at.true_positives[:-1])
    return Value(int(new_negatives @ twice_above) / (2 * positive * negative))


def auc_one_vs_rest(labels: ArrayLike, scores: ArrayLike) -> Value:
    """The mean over K classes of the area for that class against all others. labels (N,) class numbers, scores (N, K).

    NaN and undefined if a class has no example. Raises `InputError` if a label is not below K.
    """
    numbers, values = class_numbers(labels, "labels"), finite(scores, "scores")
    if values.ndim != 2 or len(values) != len(numbers):
        raise InputError(f"metric: scores have shape {values.shape}; {len(numbers)} rows are needed, a column a class")
    K = values.shape[1]
    if numbers.size and numbers.max() >= K:
        raise InputError(f"metric: there is a class {numbers.max()}, but scores for {K} classes only")
    return mean_auc(numbers[:, None] == np.arange(K), values)


def mean_auc(labels: ArrayLike, scores: ArrayLike) -> Value:
    """The mean over K columns of the area under each; labels 0 and 1 and scores are (N, K)."""
    marks, values = zeros_and_ones(labels, "labels"), finite(scores, "scores")
    same_shape(marks, values, "labels and scores")
    if marks.ndim != 2 or not marks.shape[1]:
        raise InputError(f"metric: labels have shape {marks.shape}; (examples, classes) is needed")
    areas = [auc(marks[:, k], values[:, k]) for k in range(marks.shape[1])]
    if any(area.undefined for area in areas):
        return UNDEFINED
    return Value(math.fsum(area.value for area in areas) / len(areas))


class PrecisionRecallCurve(NamedTuple):
    """From the smallest threshold up, and (1, 0) at the end: `precision` and `recall` have one point more than
    `thresholds`. Recall is 1 throughout if there is no positive example."""

    precision: Floats
    recall: Floats
    thresholds: Floats


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Precision and recall at each threshold."""
    at = thresholds(labels, scores)
    precision = at.true_positives / (at.true_positives + at.false_positives)
    total = at.true_positives[-1]
    recall = at.true_positives / total if total else np.ones(len(precision))
    return PrecisionRecallCurve(np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), at.scores[::-1])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> Value:
    """Σ (recall gained at a threshold) x (precision there), without interpolation; 0.0 and undefined if there is no
    positive example."""
    at = thresholds(labels, scores)
    if not at.true_positives[-1]:
        return Value(0.0, undefined=True)
    gained = np.diff(at.true_positives, prepend=0)
    terms = gained * at.true_positives / (at.true_positives + at.false_positives)
    return Value(math.fsum(terms.tolist()) / int(at.true_positives[-1]))
