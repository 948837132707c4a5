"""What counts as computing the same."""

import math

import pytest

from bertref.bench.agreement import check, difference
from bertref.errors import InputError

OURS = {"loss": 6.5, "gradient norm": 2.0, "vector": [3.0, 4.0]}


def test_rounding_agrees_and_the_differences_are_told() -> None:
    found = check(OURS, {**OURS, "loss": 6.5 * (1 + 5e-4)}, "peer")
    assert found == {"loss": pytest.approx(5e-4, rel=1e-3), "gradient norm": 0.0, "vector": 0.0}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"gradient norm": 2.003}, "gradient norm is 2.003 there and 2 here"),
        ({"vector": [3.0, 4.01]}, "vector"),
        ({"vector": [4.0, 3.0]}, "vector is a vector of length 5 there"),
        ({"vector": [3.0]}, "vector"),
        ({"loss": math.nan}, "loss"),
        ({"loss": math.inf}, "loss"),
        ({"loss": -6.5}, "loss"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match="not timed: peer does not compute the same") as error:
        check(OURS, {**OURS, **wrong}, "peer")  # type: ignore[dict-item]
    assert named in str(error.value)


def test_a_figure_that_one_side_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"answer different things \(vector\)"):
        check(OURS, {"loss": 6.5, "gradient norm": 2.0}, "peer")


def test_exact_agreement_can_be_asked_for() -> None:
    assert check({"tokens": 7}, {"tokens": 7}, "peer", limit=0.0) == {"tokens": 0.0}
    with pytest.raises(InputError, match="not timed"):
        check({"tokens": 7}, {"tokens": 8}, "peer", limit=0.0)


def test_two_zeros_agree_and_two_infinities_do_not() -> None:
    assert difference(0.0, 0.0) == 0.0
    assert difference([0.0, 0.0], [0.0, 0.0]) == 0.0
    assert difference(math.inf, math.inf) == math.inf
