"""Precision, recall and F1 from counts, for classes, labels of a multi-label task and types of entities alike.

    precision = right / predicted    recall = right / support    F1 = 2 right / (predicted + support)

Averages over K kinds: micro adds the counts first; macro is the mean over kinds; weighted is the mean with each kind's
support as its weight. Source: scikit-learn's `precision_recall_fscore_support`, which seqeval follows.
"""

from typing import NamedTuple

import numpy as np

from .value import UNDEFINED, Floats, Integers, Value, ratio


class Counts(NamedTuple):
    """Of each of K kinds, (K,): how many were predicted rightly, predicted at all, and truly there."""

    right: Integers
    predicted: Integers
    support: Integers


class Scores(NamedTuple):
    """One row of a report; `support` is the true number of examples or entities."""

    precision: Value
    recall: Value
    f1: Value
    support: int


def scores(right: int, predicted: int, support: int) -> Scores:
    """From three counts. Precision is undefined where nothing was predicted, recall where nothing is there, F1 where
    both hold."""
    return Scores(ratio(right, predicted), ratio(right, support), ratio(2 * right, predicted + support), int(support))


def each(counts: Counts) -> list[Scores]:
    """Of every kind, K rows."""
    return [scores(*row) for row in zip(*(column.tolist() for column in counts), strict=True)]


def micro(counts: Counts) -> Scores:
    """Of all kinds together."""
    return scores(*(int(np.sum(column)) for column in counts))


def macro(counts: Counts) -> Scores:
    """The mean over kinds; undefined if it is for one of them (which counts as 0), NaN if there are no kinds."""
    if not len(counts.support):
        return Scores(UNDEFINED, UNDEFINED, UNDEFINED, 0)
    return _weighted(counts, np.ones(len(counts.support)))


def weighted(counts: Counts) -> Scores:
    """The mean over kinds by support; 0.0 and undefined where nothing is there at all."""
    return _weighted(counts, counts.support.astype(np.float64))


def _weighted(counts: Counts, weights: Floats) -> Scores:
    rows = each(counts)
    support = int(np.sum(counts.support))
    return Scores(
        _mean([row.precision for row in rows], weights),
        _mean([row.recall for row in rows], weights),
        _mean([row.f1 for row in rows], weights),
        support,
    )


def _mean(values: list[Value], weights: Floats) -> Value:
    total = float(np.sum(weights))
    if not total:
        return Value(0.0, undefined=True)
    numbers = np.array([value.value for value in values])
    return Value(float(np.sum(numbers * weights)) / total, undefined=any(value.undefined for value in values))


AVERAGES = {"micro": micro, "macro": macro, "weighted": weighted}
