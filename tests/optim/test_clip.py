"""Clipping against torch and against TensorFlow's formula; what it does with norms that aren't finite."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertref import backends
from bertref.errors import InputError
from bertref.optim import clip_by_global_norm, global_norm

NUMPY = backends.get("numpy").xp


def gradients(seed: int, length: float) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    grads = {"a": random.normal(size=(3, 4)), "b": random.normal(size=5), "c": random.normal(size=())}
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in grads.values()))
    return {n: np.asarray(g * (length / norm)) for n, g in grads.items()}


@pytest.mark.parametrize("length", [0.1, 0.9999999, 1.0, 1.0000003, 1.5, 1e6])
def test_clip_equals_torchs(xp: Any, length: float) -> None:
    grads = gradients(1, length)
    params = {n: torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for n, g in grads.items()}
    for n, p in params.items():
        p.grad = torch.tensor(grads[n])
    wanted = torch.nn.utils.clip_grad_norm_(list(params.values()), 1.0)
    got, norm = clip_by_global_norm(xp, {n: xp.from_numpy(g) for n, g in grads.items()}, 1.0, epsilon=1e-6)
    np.testing.assert_allclose(float(xp.to_numpy(norm)), float(wanted), rtol=1e-14)
    for n, p in params.items():
        assert p.grad is not None
        np.testing.assert_allclose(xp.to_numpy(got[n]), p.grad.numpy(), rtol=1e-14)


@given(seed=st.integers(0, 1000), length=st.floats(1e-4, 1e4), limit=st.floats(1e-2, 1e2))
def test_clip_without_epsilon_is_tensorflows(seed: int, length: float, limit: float) -> None:
    """clip_norm * min(1/norm, 1/clip_norm), and shorter gradients aren't touched at all."""
    grads = gradients(seed, length)
    got, norm = clip_by_global_norm(NUMPY, grads, limit, epsilon=0.0)
    scale = limit * min(1 / float(norm), 1 / limit)
    for n, g in grads.items():
        np.testing.assert_allclose(got[n], g * scale, rtol=1e-14)
        if norm < limit:
            np.testing.assert_array_equal(got[n], g)
    assert float(global_norm(NUMPY, got)) <= limit * (1 + 1e-14)


@pytest.mark.parametrize("epsilon", [0.0, 1e-6])
def test_zero_gradients_stay_zero(xp: Any, epsilon: float) -> None:
    got, norm = clip_by_global_norm(xp, {"a": xp.from_numpy(np.zeros(3))}, 1.0, epsilon=epsilon)
    assert float(xp.to_numpy(norm)) == 0.0
    np.testing.assert_array_equal(xp.to_numpy(got["a"]), np.zeros(3))


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_shown_everywhere(xp: Any, bad: float) -> None:
    grads = {"a": xp.from_numpy(np.array([1.0, bad])), "b": xp.from_numpy(np.ones(2))}
    got, norm = clip_by_global_norm(xp, grads, 1.0, epsilon=1e-6)
    assert not math.isfinite(float(xp.to_numpy(norm)))
    assert np.isnan(xp.to_numpy(got["a"])).all()
    assert np.isnan(xp.to_numpy(got["b"])).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype: str) -> None:
    """400 squared is infinite in float16; 4096 ones add up to 256 in bfloat16."""
    xp = backends.get("torch").xp
    large = {
        "a": xp.from_numpy(np.full(4, 400.0), dtype=dtype),
        "b": xp.from_numpy(np.full(4096, 3.0), dtype=dtype),
    }
    got, norm = clip_by_global_norm(xp, large, 1.0, epsilon=0.0)
    np.testing.assert_allclose(float(xp.to_numpy(norm)), math.sqrt(4 * 400**2 + 4096 * 9), rtol=1e-6)
    assert xp.dtype_name(got["a"].dtype) == dtype


def test_mixed_dtypes_are_summed_in_the_widest(xp: Any) -> None:
    grads = {"a": xp.from_numpy(np.full(2, 3.0, np.float32)), "b": xp.from_numpy(np.full(2, 4.0 + 1e-12))}
    got, norm = clip_by_global_norm(xp, grads, 1.0, epsilon=0.0)
    np.testing.assert_allclose(float(xp.to_numpy(norm)), math.sqrt(18 + 2 * (4 + 1e-12) ** 2), rtol=1e-15)
    assert xp.dtype_name(got["a"].dtype) == "float32"


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_limit_must_be_positive(xp: Any, limit: float) -> None:
    with pytest.raises(InputError):
        clip_by_global_norm(xp, {}, limit, epsilon=0.0)
