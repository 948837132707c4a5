"""Streaming means against one mean over everything."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.metrics import WeightedMean


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_cutting_into_batches_changes_nothing(seed: int, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    x, w = random.normal(size=60), random.integers(0, 3, size=60).astype(float)
    total = WeightedMean()
    for xs, ws in zip(np.split(x, sorted(cuts)), np.split(w, sorted(cuts)), strict=True):
        total = total + WeightedMean.of(xs, ws)
    np.testing.assert_allclose(total.value, np.average(x, weights=w), rtol=1e-12, atol=1e-15)
    assert total.weight == w.sum()


def test_means_of_batches_would_be_something_else() -> None:
    """The figure is per prediction: a batch with one prediction doesn't weigh as much as one with three."""
    total = WeightedMean.of([1.0]) + WeightedMean.of([0.0, 0.0, 0.0])
    assert total.value == 0.25


def test_elements_without_weight_do_not_count() -> None:
    assert WeightedMean.of([2.0, math.nan, math.inf], [1, 0, 0]) == WeightedMean(2.0, 1.0)
    assert math.isnan(WeightedMean.of([2.0, math.nan], [1, 1]).value)


def test_float32_values_are_summed_in_float64() -> None:
    values = np.full(2**25, 1.0, np.float32)[: 2**18]
    assert WeightedMean.of(np.append(values, np.float32(2**26))).total == 2**26 + 2**18


def test_nothing_counted_is_not_zero() -> None:
    assert math.isnan(WeightedMean().value)


@pytest.mark.parametrize(("values", "weights"), [([1.0, 2.0], [1.0]), ([1.0], [-1.0]), ([[1.0, 2.0]], [1.0, 2.0])])
def test_what_does_not_fit_is_refused(values: list[float], weights: list[float]) -> None:
    with pytest.raises(InputError):
        WeightedMean.of(values, weights)
