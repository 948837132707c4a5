"""Medians and paired ratios."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.bench.statistics import ratio, summary

SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=9)


def test_the_ratio_is_taken_within_each_round() -> None:
    """A machine that gets slower for both sides changes no ratio; medians of the sides would give 4."""
    assert ratio([1.0, 2.0, 8.0], [2.0, 6.0, 8.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


def test_a_ratio_above_one_is_ours_being_faster() -> None:
    assert ratio([1.0], [4.0])["median"] == 4.0


def test_an_even_number_of_rounds_has_a_median_between() -> None:
    assert summary([4.0, 1.0, 2.0, 8.0]) == {"median": 3.0, "min": 1.0, "max": 8.0}


def test_sides_with_different_numbers_of_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


@given(SECONDS, st.floats(0.01, 100))
def test_a_peer_that_takes_a_constant_factor_has_no_spread(ours: list[float], factor: float) -> None:
    found = ratio(ours, [factor * seconds for seconds in ours])
    assert found["min"] == pytest.approx(factor)
    assert found["max"] == pytest.approx(factor)


@given(SECONDS)
def test_the_median_lies_between(values: list[float]) -> None:
    found = summary(values)
    assert found["min"] <= found["median"] <= found["max"]
