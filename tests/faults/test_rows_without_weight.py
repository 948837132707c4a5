"""A prediction slot of weight 0 holds whatever the network made of an unused position; it must not reach a gradient."""

from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.opset import OpSet

OTHERS = [0, 2]


def gradients(rows: list[int], *, kernels: bool, dtype: str, value: float) -> Any:
    """The decoder's gradients by three rows, the second of weight 0 with `value` in it; or by some of the three."""
    rng = np.random.default_rng(0)
    x, table, bias = (rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (7, 4), 7))
    x[1, 2] = value
    labels, weights = np.array([1, 5, 0]), np.array([1, 0, 0.5], dtype)
    decoder: Any = OpSet(backends.get("numpy"), kernels=kernels).decoder_cross_entropy
    with np.errstate(all="ignore"):
        _, cache = decoder.forward(x[rows], table, bias, labels[rows], weights[rows], np.asarray(1.5, dtype))
        return decoder.backward(np.asarray(1, dtype), cache)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernels", [False, True])
def test_a_row_of_weight_0_adds_exactly_0(kernels: bool, dtype: str, value: float) -> None:
    found = gradients([0, 1, 2], kernels=kernels, dtype=dtype, value=value)
    expected = gradients(OTHERS, kernels=kernels, dtype=dtype, value=value)
    assert not found.x[1].any()
    for name in ("table", "bias"):
        assert np.allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6), name
    assert np.allclose(found.x[OTHERS], expected.x, rtol=1e-5, atol=1e-6)
