"""Against scipy and scikit-learn, on numbers with ties and on constant ones."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from bertref.errors import InputError
from bertref.metrics import correlation as ours

from .oracles import quietly, same, undefined

numbers = st.one_of(st.integers(0, 3).map(float), st.integers(-1000, 1000).map(lambda n: n / 64))
"""With ties, and exact in float64, so that centred values have no rounding of their own."""
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40).map(lambda rows: np.array(rows).T)


@given(pairs)
def test_correlations(pair: Any) -> None:
    same(ours.pearson(*pair), quietly(lambda: stats.pearsonr(*pair).statistic))
    same(ours.spearman(*pair), quietly(lambda: stats.spearmanr(*pair).statistic))
    same(ours.ranks(pair[0]), stats.rankdata(pair[0]))


@given(pairs, st.sampled_from([1e-200, 1e-9, 1e12, 1e200]))
def test_scale_does_not_matter(pair: Any, scale: float) -> None:
    assume(not ours.pearson(*pair).undefined)
    same(ours.pearson(pair[0] * scale, pair[1]), ours.pearson(*pair).value)


@given(pairs)
def test_errors(pair: Any) -> None:
    same(ours.mean_squared_error(*pair), sklearn.mean_squared_error(*pair))
    same(ours.mean_absolute_error(*pair), sklearn.mean_absolute_error(*pair))


def test_undefined() -> None:
    for function in (ours.pearson, ours.spearman):
        for x, y in (([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [0.3, 0.3]), ([1.0], [2.0]), ([], [])):
            undefined(function(x, y), float("nan"))
    undefined(ours.mean_squared_error([], []), float("nan"))


def test_refused() -> None:
    for function in (ours.pearson, ours.spearman, ours.mean_squared_error, ours.mean_absolute_error):
        with pytest.raises(InputError, match="labels number 2 is nan"):
            function([1.0, float("nan")], [1.0, 2.0])
        with pytest.raises(InputError, match="shapes"):
            function([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="one number an example"):
        ours.pearson(np.ones((2, 2)), np.ones((2, 2)))
