"""The array namespaces that the op tests run on."""

from typing import Any

import pytest

from bertref import backends


@pytest.fixture(scope="session")
def xp(request: pytest.FixtureRequest) -> Any:
    """The namespace that `--backend` names."""
    return backends.get(request.config.getoption("--backend")).xp


@pytest.fixture(scope="session")
def numpy_xp() -> Any:
    return backends.get("numpy").xp


@pytest.fixture(scope="session")
def strict_xp() -> Any:
    """The standard and nothing else, without boolean indexing and data-dependent shapes."""
    return backends.get("strict").xp


@pytest.fixture(scope="session")
def torch_xp() -> Any:
    return backends.get("torch:cpu").xp
