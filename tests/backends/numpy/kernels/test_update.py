"""The optimisers' faster versions against the functions whose names they bear."""

from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref.backends.numpy import threads
from bertref.backends.numpy.kernels import UPDATES, update
from bertref.optim import (
    Optimizer,
    adamw_update,
    clip_by_global_norm,
    clipping_factor,
    global_norm,
    google_update,
    lamb_update,
)
from bertref.optim.norms import squared_norm

from .pairs import FACTOR, UNITS, XP, in_pieces

REFERENCES = {f.__name__: f for f in (adamw_update, google_update, lamb_update, squared_norm)}
SETTINGS = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
SHAPES = [(), (1,), (7,), (3, 5), (0, 4), (2, 3, 4)]


def call(function: Any, name: str, arrays: list[np.ndarray], weight_decay: float, **options: Any) -> list[np.ndarray]:
    """The function's results, after a proof that it left its arguments alone."""
    dtype = arrays[0].dtype
    rate, c1, c2 = (np.asarray(v, dtype) for v in (1e-3, 1 - 0.9**7, 1 - 0.999**7))
    before = [a.tobytes() for a in arrays]
    if name == "squared_norm":
        found: Any = [function(XP, arrays[0])]
    else:
        scalars = [rate] if name == "google_update" else [rate, c1, c2]
        found = function(XP, *arrays, *scalars, **SETTINGS, weight_decay=weight_decay, **options)
    assert [a.tobytes() for a in arrays] == before
    return [np.asarray(a) for a in found]


def some_arrays(shape: tuple[int, ...], seed: int, dtype: str) -> list[np.ndarray]:
    """p, g, m and v, each not contiguous where it can be, rounded to `dtype` but in float64."""
    rng = np.random.default_rng(seed)
    p, g, m = rng.normal(size=(3, *shape, 2))[..., 0] * np.array([1, 0.1, 0.05]).reshape(3, *[1] * len(shape))
    v = rng.uniform(0, 0.01, size=shape)
    return [np.asarray(a).astype(dtype).astype(np.float64) for a in (p, g, m, v)]


def errors(function: Any, name: str, arrays: list[np.ndarray], dtype: str, decay: float, **options: Any) -> list[float]:
    """Of every result, in units of its true value's largest element; of p, in units of its largest change."""
    truth = call(REFERENCES[name], name, arrays, decay, **options)
    found = call(function, name, [a.astype(dtype) for a in arrays], decay, **options)
    worst = []
    for true, got in zip(truth, found, strict=True):
        assert got.shape == true.shape
        assert got.dtype == dtype
        worst.append(float(np.max(np.abs(got - true), initial=0)) / (float(np.max(np.abs(true), initial=0)) or 1))
    return worst


def check(function: Any, name: str, arrays: list[np.ndarray], dtype: str, decay: float, **options: Any) -> None:
    own = errors(REFERENCES[name], name, arrays, dtype, decay, **options)
    got = errors(function, name, arrays, dtype, decay, **options)
    for number, (error, limit) in enumerate(zip(got, own, strict=True)):
        assert error <= max(FACTOR * limit, UNITS * float(np.finfo(dtype).eps)), (
            f"{name}, result {number}: off by {error}"
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REFERENCES)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**32 - 1), decay=st.sampled_from([0.0, 0.01]))
def test_equal_to_the_reference(name: str, dtype: str, shape: tuple[int, ...], seed: int, decay: float) -> None:
    arrays = some_arrays(shape, seed, dtype)
    for options in ({"adapt": True}, {"adapt": False}) if name == "lamb_update" else ({},):
        check(UPDATES[name].compute, name, arrays, dtype, decay, **options)
        with in_pieces(workers=3):
            check(UPDATES[name].compute, name, arrays, dtype, decay, **options)


@pytest.mark.parametrize("which", ["scaled", "wrong at the end", "no decay"])
@pytest.mark.parametrize("name", ["adamw_update", "google_update", "lamb_update"])
def test_a_twin_is_rejected(name: str, which: str) -> None:
    def twin(xp: Any, p: np.ndarray, *rest: Any, **options: Any) -> Any:
        if which == "no decay":
            return UPDATES[name].compute(xp, p, *rest, **{**options, "weight_decay": 0.0})
        new, m, v = UPDATES[name].compute(xp, p, *rest, **options)
        if which == "scaled":
            return p + p.dtype.type(1.001) * (new - p), m, v
        new[-1, -1] = p[-1, -1]
        return new, m, v

    arrays = some_arrays((6, 9), 3, "float64")
    check(UPDATES[name].compute, name, arrays, "float64", 0.5)
    with pytest.raises(AssertionError, match="off by"):
        check(twin, name, arrays, "float64", 0.5)


@pytest.mark.parametrize("name", sorted(REFERENCES.keys() - {"squared_norm"}))
@pytest.mark.parametrize("factor", [0.37, 1.0])
def test_a_factor_is_that_of_the_gradient(name: str, factor: float) -> None:
    """Rounded as if the gradient had been multiplied before: the same bits."""
    p, g, m, v = (np.ascontiguousarray(a, np.float32) for a in some_arrays((300, 501), 6, "float32"))
    by = np.asarray(factor, np.float32)
    before = call(UPDATES[name].compute, name, [p, g * by, m, v], 0.01)
    within = call(UPDATES[name].compute, name, [p, g, m, v], 0.01, factor=by)
    assert [a.tobytes() for a in before] == [a.tobytes() for a in within]


@pytest.mark.parametrize("kind", ["adamw", "google", "lamb"])
def test_the_optimiser_takes_them(kind: Any) -> None:
    """A mixed model: what is not served is left to the reference, and nothing differs by more than rounding."""
    rng = np.random.default_rng(8)
    params = {"w": rng.normal(size=(5, 7)), "bias": rng.normal(size=4), "half": rng.normal(size=3).astype(np.float16)}
    grads = {name: (0.1 * rng.normal(size=p.shape)).astype(p.dtype) for name, p in params.items()}
    settings = Optimizer(kind)
    state = settings.init_state(XP, params)
    used: list[str] = []

    def watched(name: str) -> update.UpdateKernel:
        def compute(*args: Any, **options: Any) -> Any:
            used.append(name)
            return UPDATES[name].compute(*args, **options)

        return update.UpdateKernel(name, compute, UPDATES[name].serves)

    watching = {name: watched(name) for name in REFERENCES}
    norm = global_norm(XP, grads, watching)
    factor = clipping_factor(XP, norm, 0.1, epsilon=0)
    new, moments = settings.update(XP, params, grads, state, rate=1e-2, step=3, factor=factor, updates=watching)
    assert sorted(used) == sorted([f"{kind}_update", "squared_norm"] * 2)
    plain, plain_norm = clip_by_global_norm(XP, grads, 0.1, epsilon=0)
    expected, expected_moments = settings.update(XP, params, plain, state, rate=1e-2, step=3)
    np.testing.assert_allclose(norm, plain_norm, rtol=1e-6)
    for name in params:
        rtol = 1e-2 if name == "half" else 1e-6
        np.testing.assert_allclose(new[name], expected[name], rtol=rtol)
        for moment in ("m", "v"):
            np.testing.assert_allclose(moments[f"{name}/{moment}"], expected_moments[f"{name}/{moment}"], rtol=rtol)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_number_of_threads_changes_no_bit(name: str) -> None:
    arrays = [a.astype(np.float32) for a in some_arrays((300, 1001), 4, "float32")]
    results = []
    for workers in (1, 2, 5, 5):
        with threads.using(workers):
            results.append([a.tobytes() for a in call(UPDATES[name].compute, name, arrays, 0.01)])
    assert all(result == results[0] for result in results)


def test_a_norm_that_overflows_is_infinite() -> None:
    assert np.isinf(UPDATES["squared_norm"].compute(XP, np.full(100_000, 1e30, np.float32)))
    assert np.isnan(UPDATES["squared_norm"].compute(XP, np.array([np.nan, 1], np.float32)))


@pytest.mark.parametrize("name", sorted(REFERENCES.keys() - {"squared_norm"}))
def test_arrays_that_are_given_away(name: str) -> None:
    """The same bits, in the memory of the arguments where that can be written to."""
    for shape in ((3, 5), (300, 501)):
        arrays = [np.ascontiguousarray(a, np.float32) for a in some_arrays(shape, 6, "float32")]
        plain = call(UPDATES[name].compute, name, arrays, 0.01)
        frozen = [a.copy() for a in arrays]
        for a in frozen:
            a.flags.writeable = False
        compute = partial(UPDATES[name].compute, donate=True)
        kept = call(compute, name, frozen, 0.01)  # proves as well that they stay
        given = [a.copy() for a in arrays]
        scalars = [np.float32(1e-3) * np.ones((), np.float32), *np.float32([1 - 0.9**7, 1 - 0.999**7])]
        scalars = [np.asarray(c, np.float32) for c in scalars[: 1 if name == "google_update" else 3]]
        found = list(compute(XP, *given, *scalars, **SETTINGS, weight_decay=0.01))
        places = [given[0], given[2], given[3]]
        for a, b, c in zip(plain, kept, found, strict=True):
            assert a.tobytes() == b.tobytes() == c.tobytes()
        shared = [np.shares_memory(a, b) for a, b in zip(found, places, strict=True)]
        assert shared == ([False, True, True] if name == "lamb_update" else [True] * len(places))
