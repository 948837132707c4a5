"""Ops of halves that round once: the nearest halves to the exact results, and the gradients of the references."""

from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.backends import Backend
from bertref.golden.generate.op_inputs import INPUTS
from bertref.mixed.pairs import PAIRS
from bertref.ops import OPS

from ..ops import checks
from ..ops.harness import Arrays, solve

SIZES = {"dense": {"B": 3, "S": 5, "I": 16, "O": 9}, "bias_activation": {"B": 3, "S": 5, "I": 9},
         "decoder_cross_entropy": {"N": 9, "V": 11, "H": 16}}  # fmt: skip
UNIT = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""The largest relative error of one rounding to the nearest half."""


@pytest.fixture
def xp(half_backend: Backend) -> Any:
    return half_backend.xp


def rounded(value: Any, dtype: str) -> np.ndarray:
    halves = backends.get("torch").xp
    return halves.to_numpy(halves.from_numpy(np.asarray(value, np.float64), dtype)).astype(np.float64)


def case_of(name: str, dtype: str) -> tuple[Any, Any]:
    """A case of halves, and a gradient from above that is halves, too, or the loss's own."""
    case, upstream, _ = checks.random_case(name, 5, SIZES.get(name, {"B": 5, "H": 7}))
    differentiable = INPUTS[name].differentiable
    inputs = {key: rounded(a, dtype) if key in differentiable else a for key, a in case.inputs.items()}
    return type(case)(inputs, case.options), upstream if np.ndim(upstream) == 0 else rounded(upstream, dtype)


def solved(xp: Any, pair: Any, name: str, dtype: str) -> Arrays:
    case, upstream = case_of(name, dtype)
    y, gradients = solve(pair, xp, case, upstream, dtype)
    return {"output": y, **gradients}


def exact(name: str, dtype: str) -> Arrays:
    case, upstream = case_of(name, dtype)
    y, gradients = solve(OPS[name], backends.get("numpy").xp, case, upstream, "float64")
    return {"output": y, **gradients}


def error(found: Any, true: Any) -> float:
    return float(np.max(np.abs(np.asarray(found, np.float64) - true)) / np.max(np.abs(true)))


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("name", PAIRS)
def test_errors_are_those_of_a_rounding_or_two(xp: Any, name: str, dtype: str) -> None:
    """Of an activation or a decoder, two: one inside."""
    found, true = solved(xp, PAIRS[name], name, dtype), exact(name, dtype)
    assert found.keys() == true.keys()
    for key, value in true.items():
        assert error(found[key], value) <= 4 * UNIT[dtype], key


@pytest.mark.parametrize("dtype", UNIT)
def test_a_product_and_its_bias_are_rounded_together(xp: Any, dtype: str) -> None:
    """To the nearest half. The reference rounds twice, and misses it."""
    case, _ = case_of("dense", dtype)
    x, weight = case.inputs["x"], case.inputs["weight"]
    bias = rounded(30 * np.ones(len(case.inputs["bias"])), dtype)
    inputs = [xp.from_numpy(a, dtype) for a in (x, weight, bias)]
    wanted = rounded(x @ weight.T + bias, dtype)
    np.testing.assert_array_equal(xp.to_numpy(PAIRS["dense"].forward(xp, *inputs)[0]), wanted)
    assert (xp.to_numpy(OPS["dense"].forward(xp, *inputs)[0]) != wanted).any()


def test_a_product_without_its_bias_is_not_rounded(xp: Any) -> None:
    case, _ = case_of("dense", "bfloat16")
    x, weight = case.inputs["x"], case.inputs["weight"]
    inputs = [xp.from_numpy(a, "bfloat16") for a in (x, weight)]
    y, cache = PAIRS["dense"].forward(xp, *inputs)
    assert xp.dtype_name(y.dtype) == "float32"
    np.testing.assert_allclose(xp.to_numpy(y), x @ weight.T, rtol=1e-5, atol=1e-6)
    assert xp.dtype_name(PAIRS["dense"].backward(xp, y, cache).x.dtype) == "bfloat16"


@pytest.mark.parametrize("name", ["gelu_erf", "gelu_tanh", "tanh"])
def test_a_function_is_rounded_once(xp: Any, name: str) -> None:
    """To the nearest half of the exact value, but where that lies in the middle between two; the reference is not."""
    x = rounded(np.linspace(-3, 3, 999), "bfloat16")
    (y, _), (plain, _) = (pair[name].forward(xp, xp.from_numpy(x, "bfloat16")) for pair in (PAIRS, OPS))
    wanted = rounded(OPS[name].forward(backends.get("numpy").xp, x)[0], "bfloat16")
    assert np.mean(xp.to_numpy(y) != wanted) < 0.005
    if name != "tanh":
        assert np.mean(xp.to_numpy(plain) != wanted) > 0.1


def test_only_the_argument_of_a_function_is_kept(xp: Any) -> None:
    case, _ = case_of("bias_activation", "bfloat16")
    _, cache = PAIRS["bias_activation"].forward(
        xp, *(xp.from_numpy(case.inputs[n], "bfloat16") for n in ("x", "bias")), activation="gelu_erf"
    )
    assert xp.dtype_name(cache.inner.dtype) == "bfloat16"
