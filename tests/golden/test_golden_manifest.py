"""The manifest: complete, true, and clear about what is wrong with a golden."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref import golden
from bertref.errors import InputError
from bertref.golden.generate import common
from bertref.golden.generate.__main__ import GENERATORS, main

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 2**20


def test_every_file_has_an_entry_and_every_entry_a_file() -> None:
    files = {f"data/{path.name}" for path in (golden.FOLDER / "data").iterdir()}
    assert files == {golden.entry(name).file for name in golden.names()}


@pytest.mark.parametrize("name", golden.names())
def test_sums_are_right(name: str) -> None:
    golden.verify(name)


def test_goldens_are_small() -> None:
    assert sum(golden.entry(name).path.stat().st_size for name in golden.names()) < 15 * MEGABYTE


@pytest.mark.parametrize("name", golden.names())
def test_tolerances_have_reasons(name: str) -> None:
    tolerances = golden.entry(name).tolerances
    assert tolerances
    for tolerance in tolerances.values():
        assert 0 <= tolerance.relative < 0.1
        assert len(tolerance.reason.split()) >= 5


@pytest.mark.parametrize("name", golden.names())
def test_the_command_makes_this_golden(name: str) -> None:
    assert golden.entry(name).command == f"{common.COMMAND} {name}"
    assert name in GENERATORS


def test_nothing_can_be_made_that_is_not_there() -> None:
    assert set(GENERATORS) == set(golden.names())


@pytest.mark.parametrize("name", golden.names())
def test_the_oracles_are_the_pinned_ones(name: str) -> None:
    """A golden of another version than the tests run against would be another oracle."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(pin.split("==") for pin in project["project"]["optional-dependencies"]["test"] if ";" not in pin)
    oracle = dict(golden.entry(name).oracle)
    assert oracle.pop("method")
    for library, version in oracle.items():
        public = version.partition("+")[0]  # torch adds which build it is
        assert pins.get(library, public) == public


def test_files_hold_what_their_metadata_says() -> None:
    for name in golden.names():
        if name.startswith("ops/"):
            arrays = golden.load(name)
            assert {key.split("/")[0] for key in arrays} == set(golden.details(name)["cases"])
            assert max(max(array.shape, default=1) for array in arrays.values()) <= 48


def test_arrays_are_the_callers_own() -> None:
    first = golden.load("ops/add")
    first["odd/output"][...] = 0
    assert np.any(golden.load("ops/add")["odd/output"])


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"'ops/nothing' does not exist"):
        golden.load("ops/nothing")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the package takes for its own, with one golden in it."""
    (tmp_path / "data").mkdir()
    file = golden.entry("ops/add").file
    (tmp_path / file).write_bytes(golden.entry("ops/add").path.read_bytes())
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    return tmp_path / file


@pytest.mark.parametrize("read", [golden.load, golden.details, golden.verify])
def test_a_damaged_file_is_refused(copied: Path, read: Any) -> None:
    read("ops/add")
    content = bytearray(copied.read_bytes())
    content[-1] ^= 1
    copied.write_bytes(content)
    with pytest.raises(InputError, match=r"sha256.*python -m bertref.golden.generate ops/add"):
        read("ops/add")


@pytest.mark.parametrize("read", [golden.load, golden.details, golden.verify])
def test_a_missing_file_is_refused(copied: Path, read: Any) -> None:
    copied.unlink()
    with pytest.raises(InputError, match=r"can't be read"):
        read("ops/add")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 2, "goldens": {}}'])
def test_a_manifest_of_another_format_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=str(path.name)):
        golden.read_manifest(path)


def test_writing_keeps_the_other_entries(tmp_path: Path) -> None:
    def write(name: str, value: float) -> None:
        content = common.to_bytes({"x": np.asarray(value)}, {"about": name})
        tolerances = {"float64": (1e-15, "only for this test of writing")}
        common.write(name, content, oracle="none", libraries=("numpy",), tolerances=tolerances, folder=tmp_path)

    write("b/one", 1.0)
    write("a/two", 2.0)
    write("b/one", 3.0)
    written = golden.read_manifest(tmp_path / "manifest.json")
    assert list(written) == ["a/two", "b/one"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["a_two.safetensors", "b_one.safetensors"]
    assert json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["format"] == golden.FORMAT
    assert common.FORMAT == golden.FORMAT


def test_scalars_keep_their_shape() -> None:
    from safetensors.numpy import load

    arrays = {"scalar": np.asarray(1.5), "empty": np.zeros((0, 3)), "transposed": np.arange(6.0).reshape(2, 3).T}
    read = load(common.to_bytes(arrays, {}))
    for name, array in arrays.items():
        assert read[name].shape == array.shape
        assert np.array_equal(read[name], array)


def test_unknown_goldens_are_refused_before_anything_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops/add", "ops/nothing"]) == 2
    captured = capsys.readouterr()
    assert "no golden ops/nothing" in captured.err
    assert captured.out == ""


def test_the_bare_package_is_refused() -> None:
    """Imported under two names, it would exist twice."""
    result = subprocess.run([sys.executable, "-c", "import golden"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "this package is bertref.golden" in result.stderr
