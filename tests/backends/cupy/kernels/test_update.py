"""The optimisers' passes against the functions whose names they bear, which NumPy's are held to as well."""

from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from bertref.backends.cupy.kernels import sources, updates
from bertref.optim import Optimizer
from bertref.optim.faster import chosen

from ...numpy.kernels.test_update import REFERENCES, SHAPES, call, check, some_arrays
from .on_cpu import Cpu, compiled
from .pairs import XP

UPDATES = updates(Cpu())
MANY = (3, 5000)
"""Elements of more than one block, and more than its threads take at once."""


def options_of(name: str) -> tuple[dict[str, Any], ...]:
    return ({"adapt": True}, {"adapt": False}) if name == "lamb_update" else ({},)


@pytest.mark.parametrize("name", UPDATES)
@settings(max_examples=10)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**32 - 1), decay=st.sampled_from([0.0, 0.01]))
def test_equal_to_the_reference(name: str, shape: tuple[int, ...], seed: int, decay: float) -> None:
    arrays = some_arrays(shape, seed, "float32")
    if not UPDATES[name].serves(*(a.astype(np.float32) for a in arrays)):
        assert 0 in shape
        return
    for options in options_of(name):
        check(UPDATES[name].compute, name, arrays, "float32", decay, **options)


@pytest.mark.parametrize("name", UPDATES)
def test_many_elements(name: str) -> None:
    for options in options_of(name):
        check(UPDATES[name].compute, name, some_arrays(MANY, 5, "float32"), "float32", 0.01, **options)


@pytest.mark.parametrize("name", sorted(UPDATES.keys() - {"squared_norm"}))
def test_arrays_that_are_given_away_are_written_in_place(name: str) -> None:
    arrays = [np.ascontiguousarray(a, np.float32) for a in some_arrays((3, 5), 6, "float32")]
    plain = call(UPDATES[name].compute, name, arrays, 0.01)
    given_ = [a.copy() for a in arrays]
    compute = partial(UPDATES[name].compute, donate=True)
    numbers = [np.asarray(n, np.float32) for n in (1e-3, 1 - 0.9**7, 1 - 0.999**7)]
    some = numbers[: 1 if name == "google_update" else 3]
    decay = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}
    found, places = compute(XP, *given_, *some, **decay), [given_[0], given_[2], given_[3]]
    for a, b, place in zip(plain, found, places, strict=True):
        assert a.tobytes() == b.tobytes()
        assert np.shares_memory(b, place)


@pytest.mark.parametrize("name", sorted(UPDATES.keys() - {"squared_norm"}))
def test_a_factor_is_that_of_the_gradient(name: str) -> None:
    p, g, m, v = (np.ascontiguousarray(a, np.float32) for a in some_arrays(MANY, 6, "float32"))
    by = np.asarray(0.37, np.float32)
    before = call(UPDATES[name].compute, name, [p, g * by, m, v], 0.01)
    within = call(UPDATES[name].compute, name, [p, g, m, v], 0.01, factor=by)
    for a, b in zip(before, within, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_halves_and_float64_are_left_to_the_reference() -> None:
    for dtype in ("float16", "float64"):
        array = np.ones(3, dtype)
        for name, function in REFERENCES.items():
            assert chosen(UPDATES, function, array) is function, name


def test_no_number_passes_the_host() -> None:
    """Rates and corrections are read from memory: an array is all that a launch gets."""
    device = Cpu()
    optimizer = Optimizer("adamw")
    params = {"w": np.ones((3, 4), np.float32)}
    state = optimizer.init_state(XP, params)
    new, _ = optimizer.update(XP, params, params, state, rate=1e-2, step=3, updates=updates(device))
    plain, _ = optimizer.update(XP, params, params, state, rate=1e-2, step=3)
    assert device.launched == ["adam"]
    np.testing.assert_allclose(new["w"], plain["w"], rtol=1e-6)


def test_a_norm_that_overflows_is_infinite_and_nan_is_nan() -> None:
    assert np.isinf(UPDATES["squared_norm"].compute(XP, np.full(5000, 1e30, np.float32)))
    assert np.isnan(UPDATES["squared_norm"].compute(XP, np.array([np.nan, 1], np.float32)))


TWINS = [
    ("adamw_update", "s.one_less_beta2 *", "s.one_less_beta1 *"),
    ("adamw_update", "mean / c1", "mean"),
    ("adamw_update", "i < size", "i < size - 1"),
    ("google_update", "s.decay * p[i]", "p[i]"),
    ("lamb_update", "weight / step : 1.0f", "1.0f : 1.0f"),
    ("lamb_update", "parts[gridDim.x + i]", "parts[i]"),
    ("squared_norm", "i < count; i += THREADS", "i < count - 1; i += THREADS"),
    ("squared_norm", "gridDim.x * THREADS", "THREADS"),
]


@pytest.mark.parametrize(("name", "old", "new"), [
    pytest.param(*twin, marks=() if i % 3 == 0 else pytest.mark.slow) for i, twin in enumerate(TWINS)
])  # fmt: skip
def test_a_twin_is_rejected(name: str, old: str, new: str) -> None:
    text = sources.source("update")
    assert old in text
    library = compiled("twin-update", text.replace(old, new), sources.EXPRESSIONS["update"])
    wrong = updates(Cpu({"update": library}))[name].compute
    arrays = some_arrays(MANY, 5, "float32")
    check(UPDATES[name].compute, name, arrays, "float32", 0.5)
    with pytest.raises(AssertionError):
        check(wrong, name, arrays, "float32", 0.5)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("kind", ["adamw", "google", "lamb"])
def test_the_device_decides_whether_to_update(kind: Any, donate: bool) -> None:
    """Without: all stays as it is, whatever the gradient; with: the bits of an update that nobody decides on."""
    device, settings = Cpu(), Optimizer(kind)
    p, g, m, v = (np.ascontiguousarray(a, np.float32) for a in some_arrays(MANY, 5, "float32"))

    def updated(gradient: np.ndarray, only_if: Any) -> list[np.ndarray]:
        new, state = settings.update(
            XP, {"w": p.copy()}, {"w": gradient}, {"w/m": m.copy(), "w/v": v.copy()}, rate=1e-2, step=3,
            updates=updates(device), donate=donate, only_if=only_if,
        )  # fmt: skip
        return [new["w"], state["w/m"], state["w/v"]]

    for found, old in zip(updated(g * np.nan, np.asarray(False)), (p, m, v), strict=True):
        assert found.tobytes() == old.tobytes()
    for found, right, old in zip(updated(g, np.asarray(True)), updated(g, None), (p, m, v), strict=True):
        assert found.tobytes() == right.tobytes() != old.tobytes()
    assert device.launched == ["lamb_direction", "lamb_apply"] * 3 if kind == "lamb" else ["adam"] * 3
