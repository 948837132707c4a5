"""Laws that every update obeys whatever the numbers: purity, order, scale, zero gradients, backends."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import backends
from bertref.optim import Optimizer, accumulate, clip_by_global_norm, global_norm
from bertref.optim.lamb import lamb_update, trust_ratio

from .optim_oracles import SHAPES, case

KINDS = ("google", "adamw", "lamb")
NUMPY = backends.get("numpy").xp
seeds = st.integers(0, 2**32 - 1)


def step(xp: Any, settings: Optimizer, params: Any, grads: Any, state: Any) -> Any:
    return settings.update(xp, params, grads, state, rate=0.01, step=7)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_stay_as_they_were_and_may_be_strided(kind: Any) -> None:
    source = case(5, warm=True)
    settings = Optimizer(kind)

    def strided(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        views = {n: np.repeat(a, 2, axis=-1)[..., ::2] for n, a in arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    params, grads, state = strided(source.params), strided(source.grads[0]), strided(source.state)
    got = step(NUMPY, settings, params, grads, state)
    wanted = step(NUMPY, settings, source.params, source.grads[0], source.state)
    for mine, theirs in zip(got, wanted, strict=True):
        for name in theirs:
            np.testing.assert_array_equal(mine[name], theirs[name])
            assert not any(np.shares_memory(mine[name], a) for a in (*params.values(), *state.values()))
    for name, p in params.items():
        np.testing.assert_array_equal(p, source.params[name])


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, order=st.permutations(list(SHAPES)))
def test_order_of_the_dict_changes_no_bit(kind: Any, seed: int, order: list[str]) -> None:
    source = case(seed, warm=True)
    settings = Optimizer(kind)

    def both(names: list[str]) -> Any:
        grads = {n: source.grads[0][n].astype(np.float32).astype(float) for n in names}
        clipped, norm = clip_by_global_norm(NUMPY, grads, 0.5, epsilon=1e-6)
        new, _ = step(NUMPY, settings, {n: source.params[n] for n in names}, clipped, source.state)
        return norm, new

    (norm, new), (other_norm, other) = both(list(SHAPES)), both(order)
    assert norm == other_norm
    for name in SHAPES:
        np.testing.assert_array_equal(new[name], other[name])


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_parameters_do_not_see_each_other(kind: Any, seed: int) -> None:
    source = case(seed, warm=True)
    settings = Optimizer(kind)
    whole, _ = step(NUMPY, settings, source.params, source.grads[0], source.state)
    for name in SHAPES:
        state = {f"{name}/{moment}": source.state[f"{name}/{moment}"] for moment in "mv"}
        alone, _ = step(NUMPY, settings, {name: source.params[name]}, {name: source.grads[0][name]}, state)
        np.testing.assert_array_equal(alone[name], whole[name])


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_zero_gradients_from_zero_moments_only_decay(kind: Any, seed: int) -> None:
    """Adam shrinks by 1 - rate decay; LAMB's step has the length of the weight, so it shrinks by 1 - rate."""
    params = case(seed, warm=True).params
    settings = Optimizer(kind)
    zeros = {n: np.zeros_like(p) for n, p in params.items()}
    new, state = step(NUMPY, settings, params, zeros, settings.init_state(NUMPY, params))
    factor = 1 - 0.01 if kind == "lamb" else 1 - 0.01 * 0.01
    for name, p in params.items():
        wanted = p * factor if settings.decays(name) else p
        np.testing.assert_allclose(new[name], wanted, rtol=1e-14)
    assert all(not np.any(moment) for moment in state.values())


@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_trust_ratio_follows_the_scale_of_both(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    p, update = random.normal(size=(2, 3, 4))
    ratio = trust_ratio(NUMPY, p, update)
    np.testing.assert_allclose(ratio, np.linalg.norm(p) / np.linalg.norm(update), rtol=1e-14)
    np.testing.assert_allclose(trust_ratio(NUMPY, scale * p, update), scale * ratio, rtol=1e-13)
    np.testing.assert_allclose(trust_ratio(NUMPY, p, scale * update), ratio / scale, rtol=1e-13)


@given(seed=seeds, scale=st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**20]))
def test_lambs_step_is_a_fixed_share_of_the_weight(seed: int, scale: float) -> None:
    """Whatever the size of the gradients: the step has length rate ‖p‖ (epsilon 0, no decay)."""
    random = np.random.default_rng(seed)
    p, g, m = random.normal(size=(3, 3, 4))
    v = random.random(size=(3, 4))
    one, rate = np.asarray(1.0), np.asarray(0.03)
    settings: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "epsilon": 0.0, "weight_decay": 0.0}
    new, _, _ = lamb_update(NUMPY, p, scale * g, scale * m, scale**2 * v, rate, one, one, **settings)
    np.testing.assert_allclose(np.linalg.norm(new - p), 0.03 * np.linalg.norm(p), rtol=1e-12)
    same, _, _ = lamb_update(NUMPY, p, g, m, v, rate, one, one, **settings)
    np.testing.assert_allclose(new, same, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", ["strict", "torch"])
def test_backends_agree(kind: Any, other: str) -> None:
    xp = backends.get(other).xp
    source = case(11, warm=True)
    settings = Optimizer(kind)
    inputs = (source.params, source.grads[0], source.state)
    wanted = step(NUMPY, settings, *inputs)
    got = step(xp, settings, *({n: xp.from_numpy(a) for n, a in arrays.items()} for arrays in inputs))
    for mine, theirs in zip(got, wanted, strict=True):
        for name in theirs:
            np.testing.assert_allclose(xp.to_numpy(mine[name]), theirs[name], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32_and_close(xp: Any, kind: Any) -> None:
    source = case(12, warm=True)
    settings = Optimizer(kind)
    inputs = (source.params, source.grads[0], source.state)
    wide = step(NUMPY, settings, *inputs)
    narrow = step(
        xp,
        settings,
        *({n: xp.from_numpy(a.astype(np.float32)) for n, a in arrays.items()} for arrays in inputs),
    )
    for mine, theirs in zip(narrow, wide, strict=True):
        for name in theirs:
            assert xp.dtype_name(mine[name].dtype) == "float32"
            np.testing.assert_allclose(xp.to_numpy(mine[name]), theirs[name], rtol=3e-6, atol=1e-7)


def test_accumulated_chunks_equal_the_whole_batch(xp: Any) -> None:
    """Each chunk's loss is divided by the whole batch's weight; then the chunks' gradients add up to its."""
    random = np.random.default_rng(3)
    x, target, w = random.normal(size=(12, 4)), random.normal(size=12), random.normal(size=4)

    def gradient(rows: slice) -> dict[str, Any]:
        return {"w": xp.from_numpy(x[rows].T @ (x[rows] @ w - target[rows]) / len(x))}

    total: dict[str, Any] | None = None
    for rows in (slice(0, 5), slice(5, 6), slice(6, 12)):
        total = accumulate(total, gradient(rows))
    assert total is not None
    np.testing.assert_allclose(xp.to_numpy(total["w"]), xp.to_numpy(gradient(slice(None))["w"]), rtol=1e-13)
    with pytest.raises(KeyError):
        accumulate(total, {"v": total["w"]})


def test_global_norm_of_nothing_is_zero(xp: Any) -> None:
    assert float(xp.to_numpy(global_norm(xp, {}))) == 0.0


@pytest.mark.parametrize(("p", "update"), [([0.0, 0.0], [3.0, 4.0]), ([3.0, 4.0], [0.0, 0.0]), ([0.0], [0.0])])
def test_trust_ratio_is_one_where_a_norm_is_zero(xp: Any, p: list[float], update: list[float]) -> None:
    ratio = trust_ratio(xp, xp.from_numpy(np.array(p)), xp.from_numpy(np.array(update)))
    assert float(xp.to_numpy(ratio)) == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_is_not_a_number_stays_visible(kind: Any) -> None:
    source = case(13, warm=True)
    grads = {n: g.copy() for n, g in source.grads[0].items()}
    grads["encoder.dense.weight"][0, 0] = np.nan
    new, _ = step(NUMPY, Optimizer(kind), source.params, grads, source.state)
    assert np.isnan(new["encoder.dense.weight"][0, 0])
    assert np.isfinite(new["encoder.dense.bias"]).all()
