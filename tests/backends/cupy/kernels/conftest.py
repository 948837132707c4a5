"""The libraries that the shim makes of CUDA files are kept in pytest's cache, for every process of the tests."""

import pytest

from . import on_cpu


@pytest.fixture(scope="session", autouse=True)
def kept_libraries(pytestconfig: pytest.Config) -> None:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    if cache is not None:
        on_cpu.SHARED["folder"] = cache.mkdir("bertref-shim")
