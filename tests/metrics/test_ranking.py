"""Against scikit-learn, on scores with ties and on labels of one class."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from bertref.errors import InputError
from bertref.metrics import ranking as ours

from .oracles import quietly, same, scored, undefined

Scored = tuple[list[int], list[float]]


@given(scored())
def test_curves(pair: Scored) -> None:
    for curve, wanted in (
        (ours.roc_curve(*pair), quietly(sklearn.roc_curve, *pair, drop_intermediate=False)),
        (ours.precision_recall_curve(*pair), quietly(sklearn.precision_recall_curve, *pair)),
    ):
        for found, theirs in zip(curve, wanted, strict=True):
            same(found, theirs)


@given(scored())
def test_areas(pair: Scored) -> None:
    same(ours.auc(*pair), quietly(sklearn.roc_auc_score, *pair))
    same(ours.average_precision(*pair), quietly(sklearn.average_precision_score, *pair))


@given(st.integers(3, 5), st.integers(5, 30), st.integers(0, 2**32 - 1))
def test_one_class_against_the_rest(K: int, N: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.append(np.arange(K), random.integers(0, K, N))[: N + 1]
    parts = random.integers(1, 4, (N + 1, K))
    scores = parts / parts.sum(axis=1, keepdims=True)
    wanted = sklearn.roc_auc_score(labels, scores, multi_class="ovr", labels=range(K))
    same(ours.auc_one_vs_rest(labels, scores), wanted)
    marks = (labels[:, None] == np.arange(K)).astype(int)
    same(ours.mean_auc(marks, scores), sklearn.roc_auc_score(marks, scores, average="macro"))


def test_undefined() -> None:
    for labels in ([1, 1], [0, 0]):
        undefined(ours.auc(labels, [0.1, 0.2]), float("nan"))
    undefined(ours.average_precision([0, 0], [0.1, 0.2]), 0.0)
    undefined(ours.auc_one_vs_rest([0, 1], np.eye(2, 3)), float("nan"))
    assert not ours.average_precision([1, 1], [0.1, 0.2]).undefined


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [0.1, 0.2], "hold 2"),
        ([0, 1], [0.1], "shapes"),
        ([0, 1], [0.1, float("nan")], "scores number 2 is nan"),
        ([], [], "one at least"),
    ],
)
def test_refused(labels: Any, scores: Any, message: str) -> None:
    for function in (ours.auc, ours.average_precision, ours.roc_curve, ours.precision_recall_curve):
        with pytest.raises(InputError, match=message):
            function(labels, scores)


def test_scores_that_do_not_fit_the_classes_are_refused() -> None:
    with pytest.raises(InputError, match="a class 3, but scores for 3"):
        ours.auc_one_vs_rest([0, 3], np.eye(2, 3))
    with pytest.raises(InputError, match="2 rows are needed"):
        ours.auc_one_vs_rest([0, 1], np.eye(3))
