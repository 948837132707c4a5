"""OpenBLAS's kernels are chosen where that helps, and only there; a user's choice stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertref.backends.numpy.blas import coretype

AVX512 = "fpu sse avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16"


def cpuinfo(folder: Path, vendor: str, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(
        f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\nvendor_id\t: other\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if NumPy had not been imported."""
    monkeypatch.delitem(sys.modules, "numpy")


@pytest.mark.parametrize(("vendor", "flags", "chosen"), [
    ("AuthenticAMD", AVX512, True),
    ("AuthenticAMD", "fpu sse avx2", False),
    ("AuthenticAMD", AVX512.replace("avx512vl", ""), False),
    ("GenuineIntel", AVX512, False),
    ("", "", False),
])  # fmt: skip
@pytest.mark.usefixtures("early")
def test_where_it_helps(tmp_path: Path, vendor: str, flags: str, chosen: bool) -> None:
    environment: dict[str, str] = {}
    assert coretype.choose(environment, cpuinfo(tmp_path, vendor, flags)) is chosen
    assert environment == ({"OPENBLAS_CORETYPE": "SkylakeX"} if chosen else {})


@pytest.mark.usefixtures("early")
def test_a_users_choice_stays(tmp_path: Path) -> None:
    environment = {"OPENBLAS_CORETYPE": "Haswell"}
    assert not coretype.choose(environment, cpuinfo(tmp_path, "AuthenticAMD", AVX512))
    assert environment == {"OPENBLAS_CORETYPE": "Haswell"}


@pytest.mark.usefixtures("early")
def test_without_the_file(tmp_path: Path) -> None:
    assert not coretype.choose({}, tmp_path / "nowhere")


def test_not_when_it_is_too_late(tmp_path: Path) -> None:
    import numpy  # noqa: F401

    assert not coretype.choose({}, cpuinfo(tmp_path, "AuthenticAMD", AVX512))


def test_the_command_line_chooses_before_numpy_is_imported() -> None:
    """Whatever the processor: the choice is made, and NumPy has not been imported by then."""
    code = """
import sys
from bertref.backends.numpy.blas import coretype
coretype.choose = lambda: print("chosen, numpy" if "numpy" in sys.modules else "chosen, no numpy")
from bertref.cli import main
sys.argv = ["bertref", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[0] == "chosen, no numpy", done.stderr
