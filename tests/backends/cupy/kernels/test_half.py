"""The shim's own half types round as NumPy's and ml_dtypes' do: every number of 16 bits, and floats around them."""

import ctypes
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from bertref.backends.cupy.kernels import sources
from bertref.backends.cupy.kernels.device import Shape

from . import on_cpu

COPY = """
template <typename X, typename Y> __global__ void copy(In<X> x, Out<Y> y, long long size)
{
    for (long long i = threadIdx.x; i < size; i += blockDim.x) store<Y>(y, i, load(x, i));
}
"""
HALVES = {"__half": np.dtype(np.float16), "__nv_bfloat16": np.dtype(ml_dtypes.bfloat16)}
EXPRESSIONS = tuple(f"copy<{pair}>" for name in HALVES for pair in (f"{name}, float", f"float, {name}"))


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return on_cpu.compiled("copy", sources.included('#include "half.cuh"\n' + COPY), EXPRESSIONS)


def copied(library: ctypes.CDLL, expression: str, x: Any, dtype: Any) -> Any:
    y = np.zeros(x.shape, dtype)
    number = library.find_kernel(expression.encode())
    on_cpu.run(library, number, Shape((1, 1), (32, 1)), [x, y, np.int64(x.size)], 0)
    return y


@pytest.mark.parametrize("name", HALVES)
def test_every_half_number_widens_as_numpys(library: ctypes.CDLL, name: str) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(HALVES[name])
    found = copied(library, f"copy<{name}, float>", x, np.float32)
    np.testing.assert_array_equal(found, x.astype(np.float32))


@pytest.mark.parametrize("name", HALVES)
def test_floats_around_every_half_number_round_as_numpys(library: ctypes.CDLL, name: str) -> None:
    """The number itself, halfway to the next, which is a tie, and the floats on both sides of that."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    x = bits.view(HALVES[name]).astype(np.float32)
    with np.errstate(all="ignore"):
        step = (bits + 1).astype(np.uint16).view(HALVES[name]).astype(np.float32) - x
        middle = x + step / 2
        floats = np.concatenate([x, middle, np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)])
        floats = np.concatenate([floats, np.float32([3.4e38, -3.4e38, 65519.99, 65520, 1e-45, 0, -0.0])])
        expected = floats.astype(HALVES[name])
    found = copied(library, f"copy<float, {name}>", np.ascontiguousarray(floats, np.float32), HALVES[name])
    numbers = ~np.isnan(floats)
    assert np.isnan(found[~numbers].astype(np.float32)).all()
    np.testing.assert_array_equal(found[numbers].view(np.uint16), expected[numbers].view(np.uint16))
