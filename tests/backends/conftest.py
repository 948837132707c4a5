"""The backends that this room's tests run on: those that every test environment has, and the one asked for."""

import pytest

from bertref import backends

ALWAYS = ["numpy", "torch:cpu", "strict"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`backend`: every one; `other_backend`: all to compare with NumPy; `half_backend`: those with half precisions."""
    asked = metafunc.config.getoption("--backend")
    specs = ALWAYS if asked in (*ALWAYS, "torch") else [*ALWAYS, asked]
    chosen = {"backend": specs, "other_backend": specs[1:], "half_backend": [s for s in specs if s != "strict"]}
    for fixture in chosen.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, chosen[fixture], indirect=True, scope="session")


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


@pytest.fixture(scope="session")
def half_backend(request: pytest.FixtureRequest) -> backends.Backend:
    return _get(request.param)
