"""Is the right class predicted: accuracy, precision, recall, F1, Matthews' correlation, and the report of all classes.

Everything follows from the confusion matrix C (K, K): C[i, j] examples of class i were predicted as class j. Labels and
predictions are class numbers (N,) from 0 on; more classes than occur in them can be said with `classes`.

Averages and the report are over the classes that occur in labels or predictions, which is scikit-learn's default; a
class that occurs in neither would count as 0. Source: scikit-learn's functions of the same names.
"""

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .averages import AVERAGES, Counts, Scores, each, macro, scores, weighted
from .value import UNDEFINED, Integers, Value, class_numbers, same_shape

Average: TypeAlias = Literal["binary", "micro", "macro", "weighted"]


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int | None = None) -> Integers:
    """C (K, K): true class by predicted class. K is `classes`, or one more than the largest number that occurs.

    Raises `InputError` if the shapes differ, a number is no class, or is not below `classes`.
    """
    true, found = class_numbers(labels, "labels"), class_numbers(predictions, "predictions")
    same_shape(true, found, "labels and predictions")
    largest = int(max(true.max(), found.max())) if true.size else -1
    K = largest + 1 if classes is None else classes
    if largest >= K:
        raise InputError(f"metric: there is a class {largest}, but only {K} classes, numbered from 0")
    return np.bincount(true * K + found, minlength=K * K).reshape(K, K)


def class_counts(confusion: Integers) -> Counts:
    """Of each class (K,): right, predicted, support."""
    return Counts(np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1))


def occurring(confusion: Integers) -> Integers:
    """The classes that occur in labels or predictions, ascending."""
    return np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))


class Outcomes(NamedTuple):
    """The four counts of a class against all others."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


def outcomes(labels: ArrayLike, predictions: ArrayLike, positive: int = 1) -> Outcomes:
    """The four counts, with one class as the positive one."""
    true, found = class_numbers(labels, "labels"), class_numbers(predictions, "predictions")
    same_shape(true, found, "labels and predictions")
    is_, said = true == positive, found == positive
    pairs = ((is_, said), (~is_, said), (~is_, ~said), (is_, ~said))
    return Outcomes(*(int(np.count_nonzero(a & b)) for a, b in pairs))


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """The share of examples whose class is right; undefined without examples."""
    counts = class_counts(confusion_matrix(labels, predictions))
    total = int(counts.support.sum())
    return Value(int(counts.right.sum()) / total) if total else UNDEFINED


def precision_recall_f1(
    labels: ArrayLike, predictions: ArrayLike, average: Average = "binary", positive: int = 1
) -> Scores:
    """All three at once. `binary`: of the class `positive` against all others; the other averages ignore it.

    Raises `InputError` for an average that isn't known.
    """
    if average == "binary":
        hits = outcomes(labels, predictions, positive)
        right = hits.true_positives
        return scores(right, right + hits.false_positives, right + hits.false_negatives)
    if average not in AVERAGES:
        raise InputError(f"metric: there is no average {average!r}; choose one of {', '.join(['binary', *AVERAGES])}")
    return AVERAGES[average](_occurring_counts(confusion_matrix(labels, predictions)))


def precision(labels: ArrayLike, predictions: ArrayLike, average: Average = "binary", positive: int = 1) -> Value:
    """See `precision_recall_f1`."""
    return precision_recall_f1(labels, predictions, average, positive).precision


def recall(labels: ArrayLike, predictions: ArrayLike, average: Average = "binary", positive: int = 1) -> Value:
    """See `precision_recall_f1`."""
    return precision_recall_f1(labels, predictions, average, positive).recall


def f1(labels: ArrayLike, predictions: ArrayLike, average: Average = "binary", positive: int = 1) -> Value:
    """See `precision_recall_f1`."""
    return precision_recall_f1(labels, predictions, average, positive).f1


def scores_by_class(labels: ArrayLike, predictions: ArrayLike, classes: int | None = None) -> list[Scores]:
    """Precision, recall, F1 and support of each class, K rows, those that don't occur included."""
    return each(class_counts(confusion_matrix(labels, predictions, classes)))


def matthews(labels: ArrayLike, predictions: ArrayLike) -> Value:
    """Matthews' correlation of any number of classes (R_K of Gorodkin 2004), from -1 to 1.

        (N Σ right - Σ predicted support) / √((N² - Σ predicted²) (N² - Σ support²))

    All sums are exact integers. 0.0 and undefined if labels or predictions have one class only.
    """
    counts = class_counts(confusion_matrix(labels, predictions))
    right, predicted, support = (column.tolist() for column in counts)
    N = sum(support)
    shared = N * sum(right) - sum(p * s for p, s in zip(predicted, support, strict=True))
    spread = (N * N - sum(p * p for p in predicted)) * (N * N - sum(s * s for s in support))
    return Value(shared / math.sqrt(spread)) if spread else Value(0.0, undefined=True)


class ClassificationReport(NamedTuple):
    """`rows`: class number -> its scores, of the classes that occur; then the averages over them. The micro average of
    all three is the accuracy."""

    rows: dict[int, Scores]
    macro: Scores
    weighted: Scores
    accuracy: Value


def classification_report(labels: ArrayLike, predictions: ArrayLike) -> ClassificationReport:
    """All that scikit-learn's `classification_report` shows."""
    confusion = confusion_matrix(labels, predictions)
    counts = _occurring_counts(confusion)
    rows = dict(zip(occurring(confusion).tolist(), each(counts), strict=True))
    return ClassificationReport(rows, macro(counts), weighted(counts), accuracy(labels, predictions))


def _occurring_counts(confusion: Integers) -> Counts:
    chosen = occurring(confusion)
    return Counts(*(column[chosen] for column in class_counts(confusion)))
