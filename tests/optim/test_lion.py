"""Lion against ten lines of NumPy, and the ways in which it is commonly got wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref.config import Numerics
from bertref.errors import InputError
from bertref.optim import RULES, Optimizer

from .optim_oracles import DECAY, RATE, SHAPES, Case, case, excluded

CASES = [case(1, warm=True), case(2, warm=False)]
"""One step from moments that have run, and three from zero."""


def lion(case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Chen et al. 2023, algorithm 2."""
    p, m = dict(case.params), {name: case.state[f"{name}/m"] for name in SHAPES}
    for grads in case.grads:
        for name, g in grads.items():
            update = np.sign(0.9 * m[name] + 0.1 * g) + (0 if excluded(name) else DECAY) * p[name]
            p[name] = p[name] - RATE * update
            m[name] = 0.99 * m[name] + 0.01 * g
    return p, {f"{name}/m": moment for name, moment in m.items()}


def run(xp: Any, settings: Optimizer, case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    params = {name: xp.from_numpy(p) for name, p in case.params.items()}
    state = {name: xp.from_numpy(case.state[name]) for name in settings.names(params)}
    for step, grads in enumerate(case.grads, start=case.first):
        on_device = {name: xp.from_numpy(g) for name, g in grads.items()}
        params, state = settings.update(xp, params, on_device, state, rate=RATE, step=step)
    return ({name: xp.to_numpy(a) for name, a in arrays.items()} for arrays in (params, state))  # type: ignore[return-value]


def check(xp: Any, settings: Optimizer) -> None:
    for each in CASES:
        for got, wanted in zip(run(xp, settings, each), lion(each), strict=True):
            assert got.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_allclose(got[name], value, rtol=1e-14, atol=1e-15, err_msg=name)


def test_it_equals_ten_lines_of_numpy(xp: Any) -> None:
    check(xp, Optimizer("lion"))


@pytest.mark.parametrize(
    "changes",
    [{"beta1": 0.99}, {"beta2": 0.9}, {"beta2": 0.999}, {"weight_decay": 0.0}, {"decay_exclusions": ("bias",)}],
)
def test_wrong_settings_are_rejected(xp: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check(xp, replace(Optimizer("lion"), **changes))


def twin(wrong: str) -> Callable[..., Any]:
    def update(xp: Any, p: Any, g: Any, m: Any, rate: Any, *, beta1: float, beta2: float, weight_decay: float) -> Any:
        g = g + weight_decay * p if wrong == "L2 penalty" else g
        kept = beta2 * m + (1 - beta2) * g
        c = kept if wrong == "sign of the kept mean" else beta1 * m + (1 - beta1) * g
        c = m if wrong == "sign of the old mean" else c
        sign = c / xp.abs(c)
        decay = 0.0 if wrong == "L2 penalty" else weight_decay * (1 if wrong == "decay without the rate" else rate)
        return p - rate * sign - decay * p, c if wrong == "the mean of the step is kept" else kept

    return update


@pytest.mark.parametrize("wrong", ["", "L2 penalty", "sign of the kept mean", "sign of the old mean",
                                   "decay without the rate", "the mean of the step is kept"])  # fmt: skip
def test_wrong_formulas_are_rejected(xp: Any, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "lion", replace(RULES["lion"], update=twin(wrong)))
    if not wrong:
        check(xp, Optimizer("lion"))
    else:
        with pytest.raises(AssertionError):
            check(xp, Optimizer("lion"))


def test_nothing_moves_where_nothing_pulls(xp: Any) -> None:
    """The sign of 0 is 0."""
    settings = Optimizer("lion", weight_decay=0.0)
    params = {"w": xp.from_numpy(np.array([1.0, -2.0, 3.0]))}
    grads = {"w": xp.from_numpy(np.array([0.0, 1e-30, -5.0]))}
    new, state = settings.update(xp, params, grads, settings.init_state(xp, params), rate=0.5, step=1)
    assert xp.to_numpy(new["w"]).tolist() == [1.0, -2.5, 3.5]
    assert set(state) == {"w/m"}


def test_its_settings() -> None:
    settings = Optimizer.from_numerics(Numerics.preset("google"), kind="lion")
    assert (settings.betas, settings.epsilon, settings.weight_decay) == ((0.9, 0.99), 0.0, 0.01)
    assert Optimizer(**settings.to_dict()) == settings
    with pytest.raises(InputError, match="epsilon is 1e-08, but lion has none"):
        Optimizer("lion", epsilon=1e-8)


def test_the_rate_is_a_third_to_a_tenth_of_adamws() -> None:
    assert 1 / 10 <= RULES["lion"].rate <= 1 / 3
    assert {rule.rate for name, rule in RULES.items() if name != "lion"} == {1.0}
