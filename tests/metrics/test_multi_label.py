"""Against scikit-learn, on examples and labels that are all 0 or all 1 as well."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from bertref.errors import InputError
from bertref.metrics import multi_label as ours

from .oracles import quietly, same, undefined, warns


@st.composite
def marked(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Labels, predictions and scores (N, K), the scores with ties."""
    N, K = draw(st.integers(1, 12)), draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shares = draw(st.tuples(*[st.sampled_from([0.1, 0.5, 0.9])] * 2))
    labels, predictions = ((random.random((N, K)) < share).astype(int) for share in shares)
    return labels, predictions, random.integers(0, 4, (N, K)) / 2


@given(case=marked())
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
def test_averages(case: Any, average: ours.Average) -> None:
    labels, predictions, _ = case
    found = ours.precision_recall_f1(labels, predictions, average)
    for value, their in zip(found[:3], (sklearn.precision_score, sklearn.recall_score, sklearn.f1_score), strict=True):
        same(value, quietly(their, labels, predictions, average=average))
        # scikit-learn doesn't warn of weights that are all 0
        nothing_weighs = average == "weighted" and not labels.any()
        assert value.undefined == (warns(their, labels, predictions, average=average) or nothing_weighs)


@given(marked())
def test_whole_examples_and_ranks(case: Any) -> None:
    labels, predictions, scores = case
    same(ours.subset_accuracy(labels, predictions), sklearn.accuracy_score(labels, predictions))
    wanted = sklearn.label_ranking_average_precision_score(labels, scores)
    same(ours.label_ranking_average_precision(labels, scores), wanted)


@given(marked())
def test_each_label(case: Any) -> None:
    labels, predictions, _ = case
    rows = ours.scores_by_label(labels, predictions)
    same(
        np.array([[row.precision.value, row.recall.value, row.f1.value, row.support] for row in rows]).T,
        quietly(sklearn.precision_recall_fscore_support, labels, predictions),
    )


def test_undefined() -> None:
    undefined(ours.subset_accuracy(np.zeros((0, 3)), np.zeros((0, 3))), float("nan"))
    undefined(ours.label_ranking_average_precision(np.zeros((0, 3)), np.zeros((0, 3))), float("nan"))
    undefined(ours.precision_recall_f1([[0, 0]], [[0, 0]], "samples").f1, 0.0)


def test_refused() -> None:
    with pytest.raises(InputError, match="hold 2"):
        ours.subset_accuracy([[0, 2]], [[0, 1]])
    with pytest.raises(InputError, match="shapes"):
        ours.subset_accuracy([[0, 1]], [[0, 1, 1]])
    with pytest.raises(InputError, match=r"\(examples, labels\) is needed"):
        ours.subset_accuracy([0, 1], [0, 1])
    with pytest.raises(InputError, match="no average 'binary'"):
        ours.precision_recall_f1([[0]], [[0]], "binary")  # type: ignore[arg-type]
