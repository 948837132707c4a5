"""Every kernel, run on the CPU, does what its reference pair does: in float32, float16 and bfloat16, in rows of every
length, over gaps in memory, with and without dropout."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from bertref.mixed import mixed
from bertref.ops import OPS
from bertref.opset import OpSet

from ....ops import checks
from ....ops.edges import EDGES
from ....ops.harness import arguments, same_bits
from ....ops.strategies import options, sizes
from .on_cpu import Cpu
from .pairs import DTYPES, SMALL, XP, as_op, at, check, many, on_cpu, small, wide

KERNELS = on_cpu()
NAMES = sorted(KERNELS)


SLOW = [(wide, "float16"), (many, "bfloat16")]


def test_every_kernel_is_tested() -> None:
    assert set(SMALL) == set(KERNELS)


@pytest.mark.parametrize(
    ("sizes_of", "dtype"),
    [
        pytest.param(sizes_of, dtype, marks=pytest.mark.slow if (sizes_of, dtype) in SLOW else ())
        for sizes_of in (small, wide, many)
        for dtype in DTYPES
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_the_error_is_of_the_size_of_the_references_own(name: str, sizes_of: Any, dtype: str, place: str) -> None:
    case, upstream, _ = checks.random_case(name, 1, sizes_of(name))
    made, xp = at(place)
    check(made[name], case, upstream, dtype, xp)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=8)
def test_every_option_and_size(name: str, data: st.DataObject) -> None:
    shape = data.draw(sizes(name))
    case, upstream, _ = checks.random_case(
        name, data.draw(st.integers(0, 2**32 - 1)), shape, **data.draw(options(name))
    )
    check(KERNELS[name], case, upstream, data.draw(st.sampled_from(DTYPES)))


LONG = {
    "attention": [{"B": 1, "S": 132, "A": 1, "D": 4}, {"B": 1, "S": 129, "A": 1, "D": 2}],
    "bias_activation": [{"B": 1, "S": 17, "I": 3080}, {"B": 3, "S": 100, "I": 130}],
    "decoder_cross_entropy": [{"N": 3, "V": 3001, "H": 8}, {"N": 2, "V": 1100, "H": 3}],
    "dropout_add_norm": [{"B": 1, "S": 5, "H": 768}, {"B": 1, "S": 2, "H": 1001}],
    "embedding": [{"V": 3, "N": 90, "H": 264}, {"V": 70, "N": 40, "H": 33}],
}  # fmt: skip
"""Rows longer than a block or a warp moves at once, more rows than parts."""


@pytest.mark.parametrize("name", LONG)
def test_long_rows_and_many(name: str, place: str) -> None:
    made, xp = at(place)
    for dtype, shape in zip(("float32", "bfloat16", "float32"), LONG[name], strict=False):
        case, upstream, _ = checks.random_case(name, 3, shape)
        check(made[name], case, upstream, dtype, xp)


@pytest.mark.parametrize("name", NAMES)
def test_the_edge_cases_of_the_op(name: str) -> None:
    """Those that the op's docstring states, in float32."""
    op = as_op(KERNELS[name])
    for edge in EDGES[name]:
        with np.errstate(all="ignore"):
            edge.forward(op, XP)
            edge.backward(op, XP)


class Backend:
    """What an `OpSet` needs of one."""

    xp = XP

    def __init__(self, kernels: Any) -> None:
        self.kernels = kernels


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_left_to_the_reference(name: str) -> None:
    """In one line that says what is served, and to the bit."""
    case, _, _ = checks.random_case(name, 1, small(name))
    given_ = arguments(XP, case, "float64")
    choice = OpSet(Backend(KERNELS)).explain(name, **given_)
    assert (choice.implementation, choice.module) == ("reference", OPS[name].forward.__module__)
    assert "float32, float16" in choice.why
    y, _ = as_op(KERNELS[name]).forward(XP, **given_)
    assert same_bits(np.asarray(y), np.asarray(OPS[name].forward(XP, **given_)[0]))


@pytest.mark.parametrize(("name", "sizes_", "changes"), [
    ("attention", {"B": 1, "S": 513, "A": 1, "D": 1}, {}),
    ("layer_norm", {"B": 1, "S": 1, "H": 4097}, {}),
    ("bias_activation", {"B": 1, "S": 2, "I": 3}, {"activation": "relu"}),
])  # fmt: skip
def test_other_shapes_and_options_are_left_to_the_reference(name: str, sizes_: Any, changes: Any) -> None:
    case, _, _ = checks.random_case(name, 1, sizes_)
    given_ = {**arguments(XP, case, "float32"), **changes}
    assert not KERNELS[name].serves(**given_)
    assert OpSet(Backend(KERNELS)).explain(name, **given_).why.startswith("it serves: ")


def test_who_needs_no_gradients_gets_the_same_bits() -> None:
    for name in ("layer_norm", "dropout_add_norm"):
        case, _, _ = checks.random_case(name, 1, wide(name))
        given_ = arguments(XP, case, "float32")
        y, cache = KERNELS[name].forward(XP, **given_)
        alone, nothing = KERNELS[name].forward(XP, **given_, gradients=False)
        assert same_bits(alone, y)
        assert (cache is None, nothing is None) == (False, True)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_product_in_float32_is_rounded_once(half: str) -> None:
    """As `bertref.mixed` gives it to bias and activation."""
    rng = np.random.default_rng(4)
    x, bias = rng.normal(size=(5, 40)).astype(np.float32), rng.normal(size=40).astype(XP.dtype(half))
    kernel, wide_bias = KERNELS["bias_activation"], bias.astype(np.float64)
    for activation in ("gelu_erf", "gelu_tanh"):
        assert kernel.serves(x, bias, activation=activation)
        y, cache = kernel.forward(XP, x, bias, activation=activation)
        exact, reference = OPS[kernel.name].forward(XP, x.astype(np.float64), wide_bias, activation=activation)
        assert y.dtype == bias.dtype
        np.testing.assert_allclose(
            y.astype(np.float64), exact, rtol=float(XP.finfo(bias.dtype).eps) / 2 * 1.001, atol=1e-6
        )
        grads = kernel.backward(XP, y, cache)
        expected = OPS[kernel.name].backward(XP, y.astype(np.float64), reference)
        assert (grads.x.dtype, grads.bias.dtype) == (bias.dtype, np.float32)
        np.testing.assert_allclose(grads.x.astype(np.float64), expected.x, rtol=0.01, atol=1e-6)
        np.testing.assert_allclose(grads.bias, expected.bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_product_whose_bias_is_still_to_come_is_wide_in_mixed_precision_alone(half: str) -> None:
    rng = np.random.default_rng(5)
    x, weight = (rng.normal(size=shape).astype(XP.dtype(half)) for shape in ((4, 6), (8, 6)))
    ops = OpSet(Backend(KERNELS))
    exact = (x.astype(np.float64) @ weight.astype(np.float64).T).astype(np.float32)
    wide_, run = mixed(ops, half).dense.forward(x, weight)
    narrow, _ = ops.dense.forward(x, weight)
    assert (wide_.dtype, narrow.dtype) == (np.float32, x.dtype)
    np.testing.assert_allclose(wide_, exact, rtol=1e-5, atol=1e-6)
    assert same_bits(narrow, wide_.astype(x.dtype))
    assert run.run.pair is KERNELS["dense"]
    grads = mixed(ops, half).dense.backward(exact, run)
    assert (grads.x.dtype, grads.weight.dtype, grads.bias) == (x.dtype, x.dtype, None)


def test_rows_that_begin_anywhere_are_moved_one_element_at_a_time() -> None:
    device = Cpu()
    case, _, _ = checks.random_case("layer_norm", 1, {"B": 1, "S": 3, "H": 16})
    memory = np.zeros(49, np.float32)
    x = memory[1:].reshape(3, 16)
    x[...] = case.inputs["x"][0]
    gamma, beta = (case.inputs[name].astype(np.float32) for name in ("gamma", "beta"))
    y, _ = on_cpu(device)["layer_norm"].forward(XP, x, gamma, beta, eps=1e-12)
    z, _ = on_cpu(device)["layer_norm"].forward(XP, x.copy(), gamma, beta, eps=1e-12)
    assert device.launched == ["norm<float, 1>", "norm<float, 8>"]
    np.testing.assert_allclose(y, z, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_attention_side_by_side(dtype: str) -> None:
    """The same bits, in one array; and query, key and value may be thirds of one, too."""
    kernel, rng = on_cpu()["attention"], np.random.default_rng(4)
    B, S, H = 2, 5, 6
    rows, dy = (rng.normal(size=(B, S, width)).astype(XP.dtype(dtype)) for width in (3 * H, H))
    thirds = [rows[..., i * H : (i + 1) * H] for i in range(3)]
    mask = np.arange(S) < np.array([[5], [3]])
    options: dict[str, Any] = {"heads": 2, "scale": 0.6, "mask_value": -math.inf}
    found = []
    for qkv, hints in (([x.copy() for x in thirds], {}), (thirds, {"side_by_side": True})):
        y, cache = kernel.forward(XP, *qkv, mask, None, **options, **hints)
        found.append((y, kernel.backward(XP, dy, cache)))
    (y, plain), (other, grads) = found
    assert y.tobytes() == other.tobytes()
    assert [a.tobytes() for a in plain] == [a.tobytes() for a in grads[:3]]
    assert grads.side_by_side.tobytes() == np.concatenate(plain, axis=-1).tobytes()
    assert grads.side_by_side.dtype == XP.dtype(dtype)
