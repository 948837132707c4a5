"""Training on XLA's CPU device, by `.ci/run-xla`: right, one program a step, resumable, on one device and on four.

Without torch_xla nothing here runs, and the suite doesn't collect it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

STEPS, CLIP = 50, 2.0
RUN = {"steps": STEPS, "precision": "float64", "clip_norm": CLIP, "save_every": 20, "eval_every": 15, "log_every": 1}


def trained(folder: Path, out: str, devices: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """What a run in a process of its own tells."""
    options = {**RUN, "folder": str(folder), "out": out, **changes}
    variables = {"PJRT_DEVICE": "CPU", "CPU_NUM_DEVICES": str(devices), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.xla.trained", json.dumps(options)], env={**os.environ, **variables},
        capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]


def steps(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in told if event["event"] == "step"]


def numbers(told: list[dict[str, Any]]) -> np.ndarray:
    """Losses and norms."""
    return np.array([[event["loss"], event["gradient_norm"]] for event in steps(told)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xla")


@pytest.fixture(scope="module")
def whole(folder: Path) -> list[dict[str, Any]]:
    return trained(folder, "whole", backend="torch:xla")


def test_losses_are_numpy_s(folder: Path, whole: list[dict[str, Any]]) -> None:
    want = numbers(trained(folder, "numpy", backend="numpy"))
    assert np.abs(numbers(whole) - want).max() < 1e-10
    norms = want[:, 1]
    assert (norms > CLIP).any(), "some norms must be clipped"
    assert (norms < CLIP).any(), "some norms must not be clipped"


def must_be_one_program(told: list[dict[str, Any]]) -> None:
    """The first step has other states to begin with, and an evaluation is a program of its own."""
    counts = [event["compiled"] for event in steps(told)]
    before_evaluation = counts[1 : RUN["eval_every"]]
    assert len(set(before_evaluation)) == 1, counts
    assert counts[-1] - counts[1] <= 1, counts


def test_a_step_is_one_program(whole: list[dict[str, Any]]) -> None:
    """Whatever its rate, masks, dropout and norm, and whether or not it is saved."""
    assert len(steps(whole)) == STEPS
    must_be_one_program(whole)


def test_a_skipped_step_is_the_same_program(folder: Path) -> None:
    halves = {"precision": "mixed-float16", "loss_scale": 2.0**24, "steps": 24}
    told = trained(folder, "halves", backend="torch:xla", **halves)
    updated = [event["updated"] for event in steps(told)][1 : RUN["eval_every"]]
    assert set(updated) == {True, False}, "the first scale must be too large, and not by much"
    must_be_one_program(told)


def test_a_resumed_run_is_bit_equal(folder: Path, whole: list[dict[str, Any]]) -> None:
    trained(folder, "parts", backend="torch:xla", stop_after=27)
    rest = trained(folder, "parts", backend="torch:xla", resume=True)
    assert steps(rest)[0]["step"] == 28
    one, other = (load_file(folder / name / "model.safetensors") for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_device_s_own_generator(folder: Path) -> None:
    """One program, whose decisions are those of seed, step and place: a resumed run has the same bits."""
    native = {"backend": "torch:xla", "rng": "native", "steps": 24}
    told = trained(folder, "native", **native)
    must_be_one_program(told)
    trained(folder, "native-parts", stop_after=7, **native)
    rest = trained(folder, "native-parts", resume=True, **native)
    assert np.array_equal(numbers(rest), numbers(told)[7:])
    others = trained(folder, "native-seed", seed=2, **{**native, "steps": 1})
    assert abs(numbers(others)[0, 0] - numbers(told)[0, 0]) > 1e-6


def test_four_devices_compute_what_one_does(folder: Path, whole: list[dict[str, Any]]) -> None:
    told = trained(folder, "shared", devices=4, backend="torch:xla:all")
    assert {event["devices"] for event in told[1:]} == {4}
    assert np.abs(numbers(told) - numbers(whole)).max() < 1e-10
    must_be_one_program(told)
