"""The backends that this room's tests run on: those that every test environment has, and the one asked for."""

import pytest

from bertref import backends

ALWAYS = ["numpy", "torch:cpu", "strict"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`backend`: every one; `other_backend`: all that can be compared with NumPy."""
    asked = metafunc.config.getoption("--backend")
    specs = ALWAYS if asked in (*ALWAYS, "torch") else [*ALWAYS, asked]
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", specs, indirect=True, scope="session")
    if "other_backend" in metafunc.fixturenames:
        metafunc.parametrize("other_backend", specs[1:], indirect=True, scope="session")


def _get(spec: str) -> backends.Backend:
    name = spec.partition(":")[0]
    pytest.importorskip({"strict": "array_api_strict"}.get(name, name), reason=f"{name} is not installed")
    return backends.get(spec)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    return _get(request.param)


@pytest.fixture(scope="session")
def other_backend(request: pytest.FixtureRequest) -> backends.Backend:
    return _get(request.param)
