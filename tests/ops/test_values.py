"""The ops' numbers: goldens, torch's autograd, slopes along random directions."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bertref.ops import OPS

from . import checks
from .strategies import options, sizes

DTYPES = ("float64", "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
def test_golden_forward(op: str, dtype: str, xp: Any) -> None:
    checks.check_golden_forward(OPS[op], xp, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
def test_golden_backward(op: str, dtype: str, xp: Any) -> None:
    checks.check_golden_backward(OPS[op], xp, dtype)


@pytest.mark.parametrize("op", OPS)
def test_all_checks_forward(op: str, xp: Any) -> None:
    checks.check_forward(OPS[op], xp)


@pytest.mark.parametrize("op", OPS)
def test_all_checks_backward(op: str, xp: Any) -> None:
    checks.check_backward(OPS[op], xp)


@pytest.mark.parametrize("op", OPS)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_random_cases(op: str, xp: Any, data: st.DataObject, seed: int) -> None:
    """Output and gradients are torch's, and the gradients are the slope."""
    case, upstream, rng = checks.random_case(op, seed, data.draw(sizes(op)), **data.draw(options(op)))
    checks.check_case_forward(OPS[op], xp, case)
    checks.check_case_backward(OPS[op], xp, case, upstream)
    checks.check_slope(OPS[op], xp, case, upstream, rng)
