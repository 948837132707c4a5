"""The libraries that the shim makes of CUDA files are kept in pytest's cache, for every process of the tests; and where
kernels are compared: on the CPU, and on a GPU where one is asked for by `--backend cupy`."""

import pytest

from . import on_cpu


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--backend")
        metafunc.parametrize("place", ["cpu", *([asked] if asked.partition(":")[0] == "cupy" else [])])


@pytest.fixture(scope="session", autouse=True)
def kept_libraries(pytestconfig: pytest.Config) -> None:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    if cache is not None:
        on_cpu.SHARED["folder"] = cache.mkdir("bertref-shim")
