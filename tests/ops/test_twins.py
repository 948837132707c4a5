"""The checks reject every mutated twin: a check that can't fail proves nothing."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref.ops import OPS

from . import checks
from .harness import golden_cases, same_bits, solve
from .strategies import options, sizes
from .twin import Twin, everywhere, scaled_backward, scaled_forward
from .twins_compositions import COMPOSITIONS
from .twins_rows import ROWS
from .twins_simple import SIMPLE

TWINS = [*SIMPLE, *ROWS, *COMPOSITIONS]
PARAMETERS = [pytest.param(twin, id=f"{twin.op}-{twin.side}-{twin.name}") for twin in TWINS]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("side", ["forward", "backward"])
def test_every_op_has_three_twins_a_side(op: str, side: str) -> None:
    names = [twin.name for twin in TWINS if (twin.op, twin.side) == (op, side)]
    assert len(set(names)) == len(names) >= 3


@pytest.mark.parametrize("twin", PARAMETERS)
def test_the_checks_reject_a_twin(twin: Twin, xp: Any) -> None:
    """By the checks of the side that is wrong, and for its numbers; the other side passes its own."""
    rejecting = checks.check_forward if twin.side == "forward" else checks.check_backward
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match=r"off by|shape|the slope is|expected"):
        rejecting(twin.wrong, xp)
    with np.errstate(all="ignore"):
        if twin.side == "backward":
            checks.check_forward(twin.wrong, xp)
        else:  # the slope would notice a wrong forward, too
            checks.check_golden_backward(twin.wrong, xp, "float64")


@pytest.mark.parametrize("twin", PARAMETERS)
def test_a_twin_differs_only_as_declared(twin: Twin, xp: Any) -> None:
    cases = [(golden.case, golden.upstream) for golden in golden_cases(twin.op, "float64")]
    differs = False
    for case, upstream in [*cases, *twin.witness]:
        with np.errstate(all="ignore"):
            y, gradients = solve(OPS[twin.op], xp, case, np.asarray(upstream))
            wrong_y, wrong = solve(twin.wrong, xp, case, np.asarray(upstream))
        assert wrong.keys() == gradients.keys()
        for name, right in {"output": y, **gradients}.items():
            got = wrong_y if name == "output" else wrong[name]
            allowed = twin.changes[name](right) if name in twin.changes else np.zeros(right.shape, dtype=bool)
            assert same_bits(np.where(allowed, 0, got), np.where(allowed, 0, right)), f"{name} differs elsewhere"
            differs = differs or not same_bits(got, right)
    assert differs, "the twin is no different"


@pytest.mark.parametrize("op", OPS)
def test_goldens_autograd_and_slopes_each_reject_a_thousandth(op: str, xp: Any) -> None:
    """No kind of check leans on another."""
    wrong_y = scaled_forward(op).wrong
    case, upstream, rng = checks.random_case(op, 7, dict.fromkeys(checks.INPUTS[op].sizes, 4))
    for check in (
        lambda: checks.check_golden_forward(wrong_y, xp, "float64"),
        lambda: checks.check_golden_forward(wrong_y, xp, "float32"),
        lambda: checks.check_case_forward(wrong_y, xp, case),
    ):
        with pytest.raises(AssertionError):
            check()
    for name in checks.INPUTS[op].differentiable:
        wrong = scaled_backward(op, name, everywhere).wrong
        for check in (
            lambda wrong=wrong: checks.check_golden_backward(wrong, xp, "float64"),
            lambda wrong=wrong: checks.check_golden_backward(wrong, xp, "float32"),
            lambda wrong=wrong: checks.check_case_backward(wrong, xp, case, upstream),
            lambda wrong=wrong: checks.check_slope(wrong, xp, case, upstream, rng),
        ):
            with pytest.raises(AssertionError):
                check()


def rejects(twin: Twin, xp: Any, case: Any, upstream: Any, rng: Any) -> bool:
    """Whether the slope along one direction gives the twin away; a direction may be at right angles to the error."""
    try:
        checks.check_slope(twin.wrong, xp, case, upstream, rng)
    except AssertionError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "twin", [p for p in PARAMETERS if "a thousandth" in p.values[0].name and p.values[0].side == "backward"]
)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_slopes_reject_a_thousandth_on_random_cases(twin: Twin, xp: Any, data: st.DataObject, seed: int) -> None:
    """Wherever the twin's gradients differ visibly from the op's, the slope tells."""
    case, upstream, rng = checks.random_case(twin.op, seed, data.draw(sizes(twin.op)), **data.draw(options(twin.op)))
    right, wrong = solve(OPS[twin.op], xp, case, upstream)[1], solve(twin.wrong, xp, case, upstream)[1]
    terms = [np.abs(wrong[name] - right[name]).sum() for name in right]
    if sum(terms) > 1e-4 * sum(np.abs(gradient).sum() for gradient in right.values()):
        assert any(rejects(twin, xp, case, upstream, rng) for _ in range(5))
