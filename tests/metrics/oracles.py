"""What the tests of metrics share: comparing with a library that warns, and labels as hypothesis draws them."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from bertref.metrics.value import Value

TOLERANCE = 1e-12


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls an oracle without its warnings of what is undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def warns(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    """Whether an oracle says that its result is undefined."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return bool(caught)


def same(ours: Any, theirs: Any) -> None:
    """Equal to 1e-12, NaN to NaN, for a `Value` or an array."""
    number = ours.value if isinstance(ours, Value) else ours
    np.testing.assert_allclose(number, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def undefined(value: Value, number: float) -> None:
    assert value.undefined
    assert value.value == pytest.approx(number, nan_ok=True, abs=0)


@st.composite
def two_labellings(draw: st.DrawFn, classes: int = 5) -> tuple[list[int], list[int]]:
    """Labels and predictions of 1 to 30 examples: from one class only up to all of them, some in one of both only."""
    n = draw(st.integers(1, 30))
    sides = []
    for _ in range(2):
        some = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes, unique=True))
        sides.append(draw(st.lists(st.sampled_from(some), min_size=n, max_size=n)))
    return sides[0], sides[1]


@st.composite
def scored(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Labels 0 and 1, and scores with many ties."""
    n = draw(st.integers(1, 40))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-10, 10, allow_subnormal=False))
    return labels, draw(st.lists(values, min_size=n, max_size=n))
