"""Options, fixtures and hypothesis profiles shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("fast", deadline=None, derandomize=True, max_examples=25, database=None)
hypothesis.settings.register_profile("slow", deadline=None, derandomize=True, max_examples=500, database=None)

FAULTS = Path(__file__).parent / "faults"

for forced in ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS"):  # what the tests read from commands is plain text
    os.environ.pop(forced, None)
os.environ["COLUMNS"] = "120"  # before a command's module is imported, which asks how wide its tables may be

os.environ.setdefault("BERTREF_MKL", "off")
"""Everything is tested with what everybody has; `BERTREF_MKL=on pytest` runs it all on MKL. The kernels' own tests run
on both in any case."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the full figures as well as the fixed sample")
    parser.addoption("--backend", default="numpy", help="backend that op and model tests run on, NAME[:DEVICE]")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: full figures, minutes long; run with --slow")
    config.addinivalue_line("markers", "fault: what an earlier version got wrong, through public names only")
    hypothesis.settings.load_profile("slow" if config.getoption("--slow") else "fast")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m fault` reads no other room: with an earlier bertref on PYTHONPATH the others can't even be imported."""
    if config.getoption("-m") != "fault" or collection_path in (FAULTS, *FAULTS.parents):
        return None
    return None if FAULTS in collection_path.parents else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        slow = [item for item in items if "slow" in item.keywords]
        items[:] = [item for item in items if "slow" not in item.keywords]
        config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What bertref keeps between runs (noise floors, features) is kept in a folder of these tests, which neither find
    nor leave any elsewhere. Their processes share it: what one has sampled, the other reads."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTREF_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data and weights, `$BERTREF_DATA`; they are not part of the project."""
    folder = os.environ.get("BERTREF_DATA")
    if not folder:
        pytest.skip("BERTREF_DATA is not set: real data and weights are not part of the project")
    return Path(folder).resolve()
