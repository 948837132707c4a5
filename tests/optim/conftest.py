"""The array namespace that the optimiser tests run on."""

from typing import Any

import pytest

from bertref import backends


@pytest.fixture(scope="session")
def xp(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.config.getoption("--backend")).xp
