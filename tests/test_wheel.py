"""What is built is what is in git: plain files, all rooms under `bertref`, goldens included; and it works."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("backends", "cli", "golden")


def run(*command: str, cwd: Path) -> str:
    """Runs a command that must succeed; returns what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files in git that are there; a deletion that is not committed yet counts as done."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to compare the wheel with")
    names = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    return [name for name in names if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def expected(tracked: list[str]) -> set[str]:
    """The package's files: `backends/x.py` is installed as `bertref/backends/x.py`."""
    files = {name for name in tracked if name.startswith("bertref/") and not (ROOT / name).is_symlink()}
    return files | {f"bertref/{name}" for name in tracked if name.split("/")[0] in LINKED}


@pytest.fixture(scope="module")
def dist(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist built from the files in git, and the wheel built from that sdist."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def test_the_wheel_holds_what_git_holds(wheel: Path, expected: set[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = archive.infolist()
    links = [member.filename for member in members if (member.external_attr >> 16) & 0o170000 == 0o120000]
    held = {member.filename for member in members if ".dist-info/" not in member.filename}
    assert not links
    assert sorted(held) == sorted(expected)


def test_the_sdist_holds_plain_files(dist: Path, expected: set[str]) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    held = {member.name.split("/", 1)[1] for member in members if member.isfile()}
    assert not [member.name for member in members if not member.isfile() and not member.isdir()]
    assert sorted(name for name in held if name.startswith("bertref/")) == sorted(expected)


def test_the_list_names_every_room(expected: set[str]) -> None:
    """The comparison above would also hold if a room were missing on both sides."""
    assert {
        "bertref/__init__.py", "bertref/py.typed", "bertref/ops/dense.py", "bertref/backends/numpy/backend.py",
        "bertref/cli/main.py", "bertref/golden/manifest.json", "bertref/golden/generate/__main__.py",
    } <= expected  # fmt: skip


def test_the_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check",
        "--target", str(target), str(wheel), cwd=tmp_path)  # fmt: skip
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import bertref, bertref.backends, bertref.cli, bertref.golden\n"
        "for name in bertref.golden.names(): bertref.golden.verify(name)\n"
        "print(bertref.__file__, len(bertref.golden.names()), bertref.backends.get('numpy').spec)"
    )
    file, goldens, backend = run(sys.executable, "-c", code, str(target), cwd=tmp_path).split()
    assert Path(file).is_relative_to(target)
    assert int(goldens) > 0
    assert backend == "numpy"
