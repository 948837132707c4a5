"""A noise floor is sampled again when any code that it depends on has changed."""

import shutil
from pathlib import Path

import pytest

from bertref.verify.judgement import cache

IGNORED = shutil.ignore_patterns("__pycache__", "data")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, with its linked rooms as folders."""
    return Path(shutil.copytree(cache.PACKAGE, tmp_path_factory.mktemp("copy") / "bertref", ignore=IGNORED))


def modules(package: Path) -> dict[str, Path]:
    """Every room, nested ones too, with one of its modules; the package's own files are a room."""
    return {path.parent.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}


def digest(package: Path) -> str:
    cache._code.cache_clear()
    return cache._code(package)


def test_a_byte_in_any_room_makes_another_key(package: Path) -> None:
    before, rooms = digest(package), modules(package)
    assert {".", "ops", "layers", "heads", "backends", "cli", "golden", "verify", "verify/subjects"} <= set(rooms)
    for path in rooms.values():
        content = path.read_bytes()
        path.write_bytes(content + b"#")
        assert digest(package) != before, path
        path.write_bytes(content)
        assert digest(package) == before


def test_a_moved_module_makes_another_key(package: Path) -> None:
    before, path = digest(package), package / "ops" / "dense.py"
    path.rename(package / "ops" / "tight.py")
    assert digest(package) != before
    (package / "ops" / "tight.py").rename(path)


def test_what_is_no_code_makes_none(package: Path) -> None:
    before = digest(package)
    (package / "ops" / "README.md").write_text("words", encoding="utf-8")
    assert digest(package) == before


def test_the_blas_is_part_of_the_key() -> None:
    import numpy as np

    assert np.__version__ in cache._numpy()
    assert "blas" in cache._numpy().lower()
