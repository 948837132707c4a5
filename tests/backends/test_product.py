"""`xp.product`: of halves exact factors and sums in float32, of other types what `matmul` is."""

import numpy as np
import pytest

from bertref import backends
from bertref.backends import Backend

RANDOM = np.random.default_rng(4)
A, B = RANDOM.normal(size=(2, 7, 64)), RANDOM.normal(size=(64, 5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_types_are_multiplied_as_ever(backend: Backend, dtype: str) -> None:
    xp = backend.xp
    a, b = (xp.from_numpy(x, dtype) for x in (A, B))
    y = xp.product(a, b)
    assert xp.dtype_name(y.dtype) == dtype
    np.testing.assert_array_equal(xp.to_numpy(y), xp.to_numpy(xp.matmul(a, b)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("columns", [5, None])
def test_a_product_of_halves_is_float32(request: pytest.FixtureRequest, dtype: str, columns: int | None) -> None:
    """On torch, or on the backend of `--backend` if that computes in halves; whole products and stacks of them."""
    chosen = backends.get(request.config.getoption("--backend"))
    xp = (chosen if dtype in chosen.dtypes else backends.get("torch")).xp
    a, b = (xp.from_numpy(x, dtype) for x in (A, B if columns else RANDOM.normal(size=(2, 64, 3))))
    y = xp.product(a, b)
    assert xp.dtype_name(y.dtype) == "float32"
    exact = np.float64(xp.to_numpy(a)) @ np.float64(xp.to_numpy(b))
    np.testing.assert_allclose(xp.to_numpy(y), exact, rtol=0, atol=1e-4)
    assert np.abs(np.float64(xp.to_numpy(xp.matmul(a, b))) - exact).max() > 1e-3


def test_numpy_multiplies_the_halves_that_it_stores() -> None:
    xp = backends.get("numpy").xp
    a, b = (xp.from_numpy(x, "bfloat16") for x in (A, B))
    assert xp.product(a, b).dtype == np.float32
