"""What only runs on a GPU, as far as it can be seen without one: the programs that are asked, and CuPy's launches."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bertref.backends.cupy.kernels import sources
from bertref.backends.cupy.kernels.device import Shape
from bertref.backends.cupy.kernels.tuning import Tuning

from . import __main__ as entry
from . import chip, compiled, pairs, sweep, trace
from .context import Context, PartFailed
from .results import Results

loaded = pytest.importorskip("bertref.backends.cupy.kernels.loaded", reason="cupy is not installed")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes programs of a shell line, which are found first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, line: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)

    return make


def test_the_driver_is_asked_for_each_figure(programs: Any) -> None:
    programs("nvidia-smi", 'case "$*" in -L) echo "GPU 0: a chip";; *power*) exit 6;; *) echo "$3";; esac')
    assert entry.has_gpu()
    found = chip.smi()
    assert found["name"] == "--query-gpu=name"
    assert found["power.limit"] is None
    programs("nvidia-smi", "echo no devices were found; exit 1")
    assert not entry.has_gpu()


@pytest.mark.parametrize(("line", "wrong"), [("echo Invalid read; exit 9", True), ("echo no errors", False)])
def test_what_the_sanitizer_says(programs: Any, tmp_path: Path, line: str, wrong: bool) -> None:
    programs("compute-sanitizer", f'echo "$@" >{tmp_path}/asked; {line}')
    assert pairs.sanitized(Context("pairs", tmp_path)) is wrong
    assert (tmp_path / "asked").read_text().split()[-2:] == ["-m", "tests.gpu.pairs"]
    assert Results(tmp_path).of("pairs")[0]["said"].startswith(("Invalid read", "no errors"))
    assert pairs.sanitized(Context("pairs", tmp_path, seconds=1)) is False
    assert Results(tmp_path).of("pairs")[1] == {"part": "pairs", "sanitizer": "no time left"}


def test_a_file_that_does_not_compile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, which finds no such file."""
    monkeypatch.setattr(sources, "EXPRESSIONS", {"nothing": ()})
    with pytest.raises(PartFailed, match="nothing: "):
        compiled.run(Context("compiled", tmp_path))
    assert "Error" in Results(tmp_path).of("compiled")[0]["said"]


def test_a_kernel_that_spills_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = SimpleNamespace(communicate=lambda: ("", ""), returncode=0)
    monkeypatch.setattr(compiled.subprocess, "Popen", lambda *_, **__: done)
    function = SimpleNamespace(num_regs=255, shared_size_bytes=0, local_size_bytes=16, max_threads_per_block=512)
    monkeypatch.setattr(loaded, "module", lambda file: SimpleNamespace(get_function=lambda name: function))
    monkeypatch.setattr(sources, "EXPRESSIONS", {"update": ("adam", "total")})
    with pytest.raises(PartFailed, match="adam spills; total spills"):
        compiled.run(Context("compiled", tmp_path))
    assert Results(tmp_path).of("compiled")[0]["kernels"]["adam"]["num_regs"] == 255


class Module:
    """Of CuPy, whose kernels only say that they were launched."""

    def __init__(self, said: list[str], where: str) -> None:
        self.said, self.where = said, where

    def get_function(self, kernel: str) -> Any:
        return lambda blocks, threads, arguments: self.said.append(f"{self.where} {kernel}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was launched."""
    found: list[str] = []
    monkeypatch.setattr(loaded, "module", lambda file: Module(found, file))
    monkeypatch.setattr(loaded.cupy, "RawModule", lambda code, options, name_expressions: Module(found, "compiled"))
    return found


ARGUMENTS = (np.zeros((4, 8), np.float32), np.zeros(2, np.int64), None, np.zeros((2, 8), np.float32), np.int64(8))


def test_a_launch_of_the_sweep_is_made_again_and_timed(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    device, clock = sweep._on_gpu(Tuning(width=4))
    launches = device.launches
    for kernel in ("gather_rows<float, 8>", "gather_rows<float, 4>"):
        device.launch("rows", kernel, Shape((2, 1), (32, 1)), *ARGUMENTS)
    launches[1].again()
    assert said == ["rows gather_rows<float, 8>", "compiled gather_rows<float, 4>", "compiled gather_rows<float, 4>"]
    assert [launch.bytes for launch in launches] == [2 * 64 + 16] * 2
    event = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
    monkeypatch.setattr(loaded.cupy.cuda, "Event", lambda: event)
    monkeypatch.setattr(loaded.cupy.cuda, "get_elapsed_time", lambda start, end: 40.0)
    assert clock(launches[0].again) == pytest.approx(0.04 / sweep.REPEATED)
    assert len(said) == 3 + sweep.REPEATED * sweep.ROUNDS


def test_the_bytes_of_our_kernels_are_noted_while_a_step_is_traced(said: list[str]) -> None:
    device = loaded.CupyDevice()
    with trace.bytes_of_launches(dry=False) as launched:
        device.launch("rows", "gather_rows<float, 8>", Shape((2, 1), (32, 1)), *ARGUMENTS)
    device.launch("rows", "gather_rows<float, 8>", Shape((2, 1), (32, 1)), *ARGUMENTS)
    assert launched == {"gather_rows<float,8>": [2 * 64 + 16]}
    assert len(said) == 2
