"""Gradients of formulas, held against differences of the formulas themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bertref.verify.diagnosis.tape import NotTraced, Traced, gradient, rounded

RNG = np.random.default_rng(5)
IDS = np.array([[0, 2, 2], [1, 0, 1]])
OTHER = RNG.normal(size=(2, 3, 4))
FORMULAS: dict[str, Callable[[Any], Any]] = {
    "a norm": lambda x: (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + 0.1),
    "powers": lambda x: 1 / (np.square(x).mean(axis=-1, keepdims=True) + 0.3) ** 2 - x / 3 + 2 * -x,
    "a softmax": lambda x: np.exp(x - x.max(axis=-2, keepdims=True)) / np.exp(x).sum(axis=-2, keepdims=True),
    "products": lambda x: (x @ OTHER.swapaxes(-1, -2)) @ x,
    "one matrix": lambda x: OTHER @ x[0].T + x[:, :, None, 0],
    "axes": lambda x: x.reshape(2, 3, 2, 2).transpose(0, 2, 1, 3).ravel() * np.arange(24.0),
    "choices": lambda x: np.where(OTHER > 0, x, -1e30 * 0) + np.where(OTHER > 0, 2.0, x[:1]) + np.maximum(x, 0.0),
    "rows that come twice": lambda x: x[0][IDS] * 2,
    "of a last axis": lambda x: np.take_along_axis(x, IDS[..., None], axis=-1)[..., 0],
    "of positions": lambda x: np.take_along_axis(x, IDS[:, :2, None], axis=1),
    "put together": lambda x: np.concatenate([x, OTHER, x[:1]], 0) @ np.stack([x[0, 0], x[1, 2]], axis=1),
    "curves": lambda x: np.tanh(x) + np.logaddexp(0, x) + np.log(np.exp(x) + 1) + np.abs(x),
    "a sum": lambda x: (x * x).sum() / np.sum(np.exp(x)) + x.sum(axis=1).mean() + np.mean(x, axis=0).sum(),
    "spread": lambda x: np.broadcast_to(x[:, :1], (2, 3, 4)) * OTHER,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_gradient_is_that_of_differences(name: str) -> None:
    formula, x = FORMULAS[name], np.random.default_rng(6).normal(size=(2, 3, 4))
    y = formula(x)
    traced = Traced(x)
    made = formula(traced)
    np.testing.assert_allclose(made.value, y, rtol=1e-13)
    d, along = RNG.normal(size=np.shape(y)), RNG.normal(size=x.shape)
    step = 1e-6
    slope = np.sum(d * (formula(x + step * along) - formula(x - step * along))) / (2 * step)
    assert np.sum(gradient(made, d, traced) * along) == pytest.approx(slope, rel=1e-7, abs=1e-7)


def test_rounding_hands_its_gradient_on() -> None:
    x = Traced(np.array([1.26, 2.61]))
    made = rounded(x, lambda value: np.round(value, 1)) * 3
    np.testing.assert_array_equal(made.value, 3 * np.round(x.value, 1))
    np.testing.assert_array_equal(gradient(made, np.ones(2), x), [3, 3])
    assert rounded(1.26, lambda value: round(value, 1)) == 1.3


def test_what_has_no_part_in_it_has_no_gradient() -> None:
    x, y = Traced(np.ones(2)), Traced(np.ones(3))
    np.testing.assert_array_equal(gradient(x * 2, np.ones(2), y), np.zeros(3))
    np.testing.assert_array_equal(gradient(np.ones(2), np.ones(2), y), np.zeros(3))


@pytest.mark.parametrize("formula", [np.sin, np.cumsum, np.asarray, lambda x: np.add.reduce(x), lambda x: x @ x,
                                     lambda x: x.dtype])
def test_what_is_not_listed_is_refused(formula: Callable[[Any], Any]) -> None:
    with pytest.raises(NotTraced):
        formula(Traced(np.ones(3)))
