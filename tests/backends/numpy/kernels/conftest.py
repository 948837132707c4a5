"""Every test of a kernel runs twice: on NumPy's products, and on MKL's where there is one for this system."""

from collections.abc import Iterator

import pytest

from .pairs import products_by


@pytest.fixture(scope="module", params=["numpy", "mkl"], autouse=True)
def products(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who makes the products."""
    with products_by(request.param):
        yield
