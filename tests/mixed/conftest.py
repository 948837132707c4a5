"""torch on the CPU, or the backend of `--backend` if that computes in halves."""

import pytest

from bertref import backends


@pytest.fixture(scope="session")
def half_backend(request: pytest.FixtureRequest) -> backends.Backend:
    chosen = backends.get(request.config.getoption("--backend"))
    return chosen if "bfloat16" in chosen.dtypes else backends.get("torch")
