"""The goldens of the ops: independent of bertref, rich in what implementations get wrong, and repeatable."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from safetensors.numpy import load as parse

from bertref import golden
from bertref.golden.generate import op_exact, op_torch, ops
from bertref.golden.generate.op_inputs import INPUTS
from bertref.ops import OPS

CHEAP = ("add", "dropout", "embedding", "gather", "log_softmax", "pack", "relu", "softmax", "squared_error", "tanh")
"""Made again in every run; the others take up to a minute each."""


def arrays_of(op: str, case: str, folder: str) -> dict[str, np.ndarray]:
    prefix = f"{case}/{folder}/"
    return {key.removeprefix(prefix): a for key, a in golden.load(f"ops/{op}").items() if key.startswith(prefix)}


def all_inputs(op: str, name: str) -> list[np.ndarray]:
    return [a for key, a in golden.load(f"ops/{op}").items() if key.endswith(f"/input/{name}")]


def test_every_op_has_a_golden() -> None:
    assert {f"ops/{op}" for op in OPS} <= set(golden.names())


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_the_basic_cases(op: str) -> None:
    cases = golden.details(f"ops/{op}")["cases"]
    assert {"odd", "single", "all_bits", "few_bits"} <= set(cases)
    for about in cases.values():
        assert (about["amplification"] > 1) == bool(about["why"]), "more tolerance needs a reason"


@pytest.mark.parametrize("op", OPS)
def test_autograd_agrees(op: str) -> None:
    """The stored numbers, not only those that the generator saw."""
    arrays = golden.load(f"ops/{op}")
    for case, about in golden.details(f"ops/{op}")["cases"].items():
        inputs: dict[str, Any] = {**arrays_of(op, case, "input"), **dict.fromkeys(about["absent"])}
        options = {name: float(v) if v == "-inf" else v for name, v in about["options"].items()}
        y, gradients = op_torch.solve(op, inputs, options, INPUTS[op].differentiable, arrays[f"{case}/upstream"])
        stored = arrays_of(op, case, "gradient")
        assert gradients.keys() == stored.keys()
        for got, expected in [(y, arrays[f"{case}/output"]), *((gradients[n], stored[n]) for n in stored)]:
            limit = 1e-12 * about["amplification"] * np.max(np.abs(expected))
            assert np.max(np.abs(got - expected)) <= limit


@pytest.mark.parametrize("op", [op if op in CHEAP else pytest.param(op, marks=pytest.mark.slow) for op in OPS])
def test_a_golden_can_be_made_again(op: str) -> None:
    """Bit for bit: what is rounded once from 60 digits does not depend on the machine."""
    again, stored = parse(ops.content(op)), golden.load(f"ops/{op}")
    assert again.keys() == stored.keys()
    for name, array in stored.items():
        assert again[name].dtype == array.dtype
        assert again[name].shape == array.shape
        assert again[name].tobytes() == array.tobytes(), name
    assert {case: ops.describe(op, case) for case in ops.PLANS[op]} == golden.details(f"ops/{op}")["cases"]


@pytest.mark.parametrize("op", OPS)
def test_tolerances_are_the_generators(op: str) -> None:
    stored = golden.entry(f"ops/{op}").tolerances
    assert {dtype: (t.relative, t.reason) for dtype, t in stored.items()} == ops.tolerances(op)


@pytest.mark.parametrize("op", OPS)
def test_inputs_have_the_bits_that_their_case_promises(op: str) -> None:
    for case, about in golden.details(f"ops/{op}")["cases"].items():
        reals = [a for a in arrays_of(op, case, "input").values() if a.dtype.kind == "f"]
        narrow = [np.array_equal(a, a.astype(np.float32)) for a in reals]
        assert all(narrow) == ("float32" in about["dtypes"])
        if "bfloat16" in about["dtypes"]:
            assert all(np.array_equal(a, ops.shorten(a, 8)) for a in reals)
            assert all(np.array_equal(a, a.astype(np.float16)) for a in reals)


def test_the_cases_hold_what_implementations_get_wrong() -> None:
    for op, name in (("embedding", "ids"), ("gather", "index")):
        assert any(len(np.unique(ids)) < len(ids) and 0 in ids for ids in all_inputs(op, name)), "no duplicates"
    for op in ("cross_entropy", "span_cross_entropy", "decoder_cross_entropy"):
        assert any(0 in w and np.any(w > 0) for w in all_inputs(op, "weights")), "no unused slot"
    for op in ("layer_norm", "dropout_add_norm"):
        for name, trivial in (("gamma", 1), ("beta", 0)):
            assert all(np.min(np.abs(a - trivial)) > 1e-4 for a in all_inputs(op, name)), f"{name} is trivial"
    masks = all_inputs("attention", "mask")
    assert any(len(np.unique(mask.sum(axis=1))) > 1 for mask in masks), "not ragged"
    assert any(not mask.any(axis=1).all() for mask in masks), "no row is fully masked"
    assert any(not valid.all() for valid in all_inputs("unpack", "valid")), "no padding"
    assert any(np.all(np.isinf(x[-1])) for x in all_inputs("softmax", "x")), "no row of nothing but -inf"
    assert max(np.max(np.abs(x)) for x in all_inputs("gelu_erf", "x")) > 20, "no large values"


def test_upstream_gradients_are_not_trivial() -> None:
    """A constant upstream gradient is in the null space of softmax and layer norm."""
    for op in OPS:
        for case in golden.details(f"ops/{op}")["cases"]:
            upstream = golden.load(f"ops/{op}")[f"{case}/upstream"]
            assert upstream.size < 2 or len(np.unique(upstream)) > 1
            assert np.all(upstream != 0)


def test_slopes_at_60_digits_are_derivatives() -> None:
    """Against the one derivative that needs no derivation to believe."""
    x = np.linspace(-3, 3, 7)
    y, gradients = op_exact.solve("tanh", {"x": x}, {}, ("x",), np.ones(7))
    with mpmath.mp.workdps(40):
        exact = [mpmath.tanh(mpmath.mpf(v)) for v in x]
        assert y.tolist() == [float(t) for t in exact]
        assert gradients["x"].tolist() == [float(1 - t * t) for t in exact]


def test_a_known_value() -> None:
    """Φ(1) to 16 digits, from any table of the normal distribution."""
    y, _ = op_exact.solve("gelu_erf", {"x": np.array([1.0])}, {}, ("x",), np.ones(1))
    assert y[0] == pytest.approx(0.8413447460685429, rel=1e-16)


def test_derivatives_that_vanish_are_zero() -> None:
    """Not the noise of the difference: softmax of one element is 1 whatever the element."""
    _, gradients = op_exact.solve("softmax", {"x": np.array([[0.3], [7.0]])}, {}, ("x",), np.array([[1.5], [-2.0]]))
    assert gradients["x"].tolist() == [[0], [0]]


def test_oracles_that_disagree_make_no_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    right = op_torch.TORCH["tanh"]
    monkeypatch.setitem(op_torch.TORCH, "tanh", lambda x: right(x) * (1 + 1e-11))
    with pytest.raises(ArithmeticError, match="disagree"):
        ops.solve("tanh", "odd")


@pytest.mark.parametrize("bits", [8, 24])
def test_shorten(bits: int) -> None:
    x = np.random.default_rng(0).normal(size=100) * 1000
    short = ops.shorten(x, bits)
    assert np.all(np.abs(short - x) <= np.abs(x) * 2.0**-bits)
    assert not np.array_equal(short, x)
    scaled = np.ldexp(short, bits - np.frexp(short)[1])
    assert np.array_equal(scaled, np.round(scaled))
    assert ops.shorten(None, bits) is None
    assert math.isclose(float(ops.shorten(np.asarray(0.0), bits)), 0.0)
