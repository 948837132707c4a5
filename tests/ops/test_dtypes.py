"""Dtypes: what comes out has the dtype of what went in, and no sum is taken in 16 bits."""

from typing import Any

import numpy as np
import pytest

from bertref.golden.generate.op_inputs import INPUTS, OpCase
from bertref.ops import OPS

from .checks import check_golden_backward, check_golden_forward, random_case
from .harness import arguments, backward, forward, place

HALVES = ("float16", "bfloat16")
LOSSES = (
    "cross_entropy", "span_cross_entropy", "squared_error", "decoder_cross_entropy", "binary_cross_entropy",
    "soft_cross_entropy", "kl_divergence", "cosine",
)  # fmt: skip
WIDE_OUTPUTS = (*LOSSES, "log_softmax")
WIDE_GRADIENTS = {"layer_norm": {"gamma", "beta"}, "dropout_add_norm": {"gamma", "beta"}, "log_softmax": {"x"},
                  "dense": {"bias"}, "bias_activation": {"bias"}, "decoder_cross_entropy": {"bias"}}  # fmt: skip
"""Sums over all rows, and the gradient of an output that is wide itself, stay in float32 in half precision."""


class Watched:
    """A namespace that notes the dtype of everything that is summed."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self.summed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def sum(self, x: Any, **options: Any) -> Any:
        self.summed.append(self._xp.dtype_name(x.dtype))
        return self._xp.sum(x, **options)

    def mean(self, x: Any, **options: Any) -> Any:
        self.summed.append(self._xp.dtype_name(x.dtype))
        return self._xp.mean(x, **options)


def some_case(op: str) -> tuple[OpCase, np.ndarray]:
    sizes = dict(zip(INPUTS[op].sizes, range(3, 9), strict=False))
    case, upstream, _ = random_case(op, 3, sizes)
    return case, upstream


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", OPS)
def test_results_have_the_dtype_of_the_arguments(op: str, dtype: str, xp: Any) -> None:
    case, upstream = some_case(op)
    call = forward(OPS[op], xp, case, dtype)
    assert xp.dtype_name(call.y.dtype) == dtype
    for name, gradient in backward(OPS[op], xp, call, upstream).items():
        assert xp.dtype_name(gradient.dtype) == dtype, name
        assert gradient.shape == call.arguments[name].shape, name


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", OPS)
def test_results_in_half_precision(op: str, dtype: str, torch_xp: Any) -> None:
    case, upstream = some_case(op)
    call = forward(OPS[op], torch_xp, case, dtype)
    assert torch_xp.dtype_name(call.y.dtype) == ("float32" if op in WIDE_OUTPUTS else dtype)
    for name, gradient in backward(OPS[op], torch_xp, call, upstream).items():
        wide = name in WIDE_GRADIENTS.get(op, ())
        assert torch_xp.dtype_name(gradient.dtype) == ("float32" if wide else dtype), name


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", OPS)
def test_goldens_in_half_precision(op: str, dtype: str, torch_xp: Any) -> None:
    check_golden_forward(OPS[op], torch_xp, dtype)
    check_golden_backward(OPS[op], torch_xp, dtype)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", OPS)
def test_nothing_is_summed_in_half_precision(op: str, dtype: str, torch_xp: Any) -> None:
    case, upstream = some_case(op)
    watched = Watched(torch_xp)
    y, cache = OPS[op].forward(watched, **arguments(torch_xp, case, dtype))
    OPS[op].backward(watched, place(torch_xp, upstream, torch_xp.dtype_name(y.dtype)), cache)
    assert set(watched.summed) <= {"float32"}


def test_long_sums_in_half_precision(torch_xp: Any) -> None:
    """4096 ones: in float16 they would add up to 2048, where the next number is 2050."""
    xp = torch_xp
    N = 4096
    zeros, ones = np.zeros((1, N)), np.ones((N, 1))
    softmax, _ = OPS["softmax"].forward(xp, place(xp, zeros, "float16"))
    assert np.all(xp.to_numpy(softmax) == 1 / N)
    log_softmax, _ = OPS["log_softmax"].forward(xp, place(xp, zeros, "float16"))
    np.testing.assert_allclose(xp.to_numpy(log_softmax), -np.log(N), rtol=1e-6)
    table = place(xp, np.zeros((2, 1)), "float16")
    ids = place(xp, np.zeros(N, dtype=np.int64), "float16")
    _, cache = OPS["embedding"].forward(xp, table, ids)
    gradient = OPS["embedding"].backward(xp, place(xp, ones, "float16"), cache)
    assert xp.to_numpy(gradient.table).tolist() == [[N], [0]]


def test_squares_beyond_half_precision(torch_xp: Any) -> None:
    """300² is above the largest float16."""
    case = OpCase({"predictions": np.array([300.0]), "targets": np.array([0.0]), "denominator": np.asarray(1.0)})
    assert torch_xp.to_numpy(forward(OPS["squared_error"], torch_xp, case, "float16").y) == 90000
