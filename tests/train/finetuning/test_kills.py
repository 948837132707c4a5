"""SIGKILL at any moment of a run with evaluations, or of a grid: resumed, everything is as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from . import running

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


def start(folder: Path, out: str, *more: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable, "-m", "bertref", "finetune", "classification", "train.csv", "--dev", "dev.csv", "--model",
        "model", "--out", out, "--batch-size", "8", "--steps", "12", "--save-every", "2", "--eval-every", "3",
        "--log-every", "1", "--learning-rate", "1e-3", "--max-length", "24", "--metric", "loss", "--json", *more,
    ]  # fmt: skip
    environment = {**os.environ, "BERTREF_CACHE": str(folder / "cache"), "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment)


def killed(folder: Path, out: str, moment: Callable[[dict[str, object]], bool], *more: str) -> None:
    """Starts a run and kills it when an event comes for which `moment` holds."""
    with start(folder, out, *more) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment(json.loads(line)):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, "the run ended before its moment"


def finished(folder: Path, out: str, *more: str) -> None:
    process = start(folder, out, *more)
    process.communicate()
    assert process.returncode == 0


def at(event: str, **values: object) -> Callable[[dict[str, object]], bool]:
    return lambda line: line["event"] == event and all(line[name] == value for name, value in values.items())


MOMENTS = {
    "before the first checkpoint": at("step", step=1),
    "after a checkpoint": at("saved", step=4),
    "in an evaluation": at("step", step=6),
    "after an evaluation": at("eval", step=9),
    "at the end": at("eval", step=12),
}
FAST = ["after a checkpoint"]


def check(tmp_path: Path, moment: str) -> None:
    running.prepared(tmp_path)
    finished(tmp_path, "whole")
    killed(tmp_path, "killed", MOMENTS[moment])
    finished(tmp_path, "killed", "--resume")
    ours, theirs = running.weights(tmp_path / "killed"), running.weights(tmp_path / "whole")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    results = [json.loads((tmp_path / out / "results.json").read_text()) for out in ("killed", "whole")]
    for name in ("metrics", "best_step", "evaluations"):
        assert results[0][name] == results[1][name]


@pytest.mark.parametrize("moment", FAST)
def test_a_run(tmp_path: Path, moment: str) -> None:
    check(tmp_path, moment)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment not in FAST])
def test_a_run_at_every_moment(tmp_path: Path, moment: str) -> None:
    check(tmp_path, moment)


GRID = ("--grid", "learning-rate=1e-4,1e-3", "--grid", "seed=1,2")
GRID_MOMENTS = {
    "in the first": [at("step", step=5)],
    "between two": [at("done", step=12)],
    "in the third": [at("experiment", number=3), at("eval", step=6)],
    "before the summary": [at("experiment", number=4), at("done", step=12)],
    "in the second": [at("experiment", number=2), at("saved", step=2)],
}


def in_turn(moments: list[Callable[[dict[str, object]], bool]]) -> Callable[[dict[str, object]], bool]:
    """Holds once all have held, one after the other."""
    left = list(moments)

    def moment(line: dict[str, object]) -> bool:
        if left[0](line):
            left.pop(0)
        return not left

    return moment


def check_grid(tmp_path: Path, moment: str) -> None:
    running.prepared(tmp_path)
    finished(tmp_path, "whole", *GRID)
    killed(tmp_path, "killed", in_turn(GRID_MOMENTS[moment]), *GRID)
    finished(tmp_path, "killed", *GRID, "--resume")
    lines = [
        [json.loads(line) for line in (tmp_path / out / "grid.jsonl").read_text().splitlines()]
        for out in ("killed", "whole")
    ]
    without_times = [[{**line, "seconds": 0} for line in side] for side in lines]
    assert without_times[0] == without_times[1]
    assert len(lines[0]) == 4
    kept = [{path.parent.name for path in (tmp_path / out).glob("*/model.safetensors")} for out in ("killed", "whole")]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("moment", list(GRID_MOMENTS))
def test_a_grid_at_every_moment(tmp_path: Path, moment: str) -> None:
    check_grid(tmp_path, moment)
