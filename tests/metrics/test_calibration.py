"""Brier's score against scikit-learn, bins against a sum over examples, one by one."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from bertref.errors import InputError
from bertref.metrics import calibration as ours

from .oracles import same, undefined


@st.composite
def predicted(draw: st.DrawFn) -> tuple[Any, Any]:
    """Class numbers (N,) and probabilities (N, K), many of them on the edge of a bin."""
    N, K = draw(st.integers(1, 30)), draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    eighths = random.multinomial(8, np.ones(K) / K, size=N) / 8
    return random.integers(0, K, N), eighths if draw(st.booleans()) else random.dirichlet(np.ones(K), N)


@given(predicted())
def test_brier_score(pair: Any) -> None:
    labels, probabilities = pair
    K = probabilities.shape[1]
    wanted = brier_score_loss(labels, probabilities, labels=range(K), scale_by_half=False)
    same(ours.brier_score(labels, probabilities), wanted)
    marks, positive = (labels == 1).astype(int), probabilities[:, 1]
    same(ours.brier_score(marks, positive), brier_score_loss(marks, positive, labels=[0, 1]))


@given(predicted(), st.sampled_from([1, 4, 8, 15]))
def test_bins(pair: Any, M: int) -> None:
    labels, probabilities = pair
    found = ours.reliability_bins(labels, probabilities, M)
    inside: list[list[tuple[float, bool]]] = [[] for _ in range(M)]
    for label, row in zip(labels, probabilities, strict=True):
        best = max(range(len(row)), key=lambda k, row=row: row[k])
        (m,) = [m for m in range(M) if m / M < row[best] <= (m + 1) / M]
        inside[m].append((row[best], best == label))
    assert found.counts.tolist() == [len(rows) for rows in inside]
    error = 0.0
    for m, rows in enumerate(inside):
        confidence, accuracy = np.mean(rows, axis=0) if rows else (math.nan, math.nan)
        same(found.confidence[m], confidence)
        same(found.accuracy[m], accuracy)
        error += len(rows) / len(labels) * abs(confidence - accuracy) if rows else 0.0
    same(ours.expected_calibration_error(labels, probabilities, M), error)


def test_a_sure_and_right_model_is_calibrated() -> None:
    labels = [0, 1, 2, 1]
    assert ours.expected_calibration_error(labels, np.eye(3)[labels]).value == 0.0
    assert ours.brier_score(labels, np.eye(3)[labels]).value == 0.0
    same(ours.expected_calibration_error([0, 0], [1.0, 1.0]), 1.0)


def test_undefined() -> None:
    undefined(ours.expected_calibration_error([], np.ones((0, 2))), math.nan)
    undefined(ours.brier_score([], []), math.nan)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0], [1.5], "logits"),
        ([0, 1], [0.5], "don't fit"),
        ([2], [[0.5, 0.5]], "a class 2, but only 2"),
        ([0], [float("nan")], "probabilities number 1 is nan"),
    ],
)
def test_refused(labels: Any, probabilities: Any, message: str) -> None:
    for function in (ours.brier_score, ours.expected_calibration_error):
        with pytest.raises(InputError, match=message):
            function(labels, probabilities)
    with pytest.raises(InputError, match="0 bins"):
        ours.reliability_bins([0], [0.5], 0)
