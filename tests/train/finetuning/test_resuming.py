"""What is said and done about a folder that holds no good checkpoint, that is in use, or that is named otherwise."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.checkpoint import training
from bertref.errors import CheckpointError, InputError, TrainingDiverged
from bertref.train.finetuning.grid import run_grid
from bertref.train.finetuning.run import finetune

from ..pretraining.running import Log, StopAfter
from . import running
from .running import cache, run, weights  # noqa: F401

AGAIN = "holds no checkpoint; starting from the beginning"


def said(log: Log) -> str:
    return "\n".join(values["text"] for values in log.of("message"))


def cut(checkpoint: Path) -> None:
    os.truncate(checkpoint / "training_state.safetensors", 1000)


def test_a_damaged_checkpoint_without_another_is_no_end(tmp_path: Path) -> None:
    run(tmp_path, "whole")
    run(tmp_path, stop_after=5, keep=1)
    damaged = tmp_path / "out" / "checkpoint-5"
    cut(damaged)
    with pytest.raises(CheckpointError, match=rf"no checkpoint is before it: remove {damaged} to begin") as caught:
        run(tmp_path, resume=True)
    assert "to resume from" not in str(caught.value)
    damaged.rename(tmp_path / "removed")
    result, log = run(tmp_path, resume=True)
    assert (result.status, log.of("start")[0]["first_step"]) == ("finished", 0)
    assert f"{tmp_path / 'out'}: {AGAIN}" in said(log)
    ours, theirs = weights(tmp_path / "out"), weights(tmp_path / "whole")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_of_a_damaged_checkpoint_the_one_before_is_named(tmp_path: Path) -> None:
    run(tmp_path, stop_after=5, keep=2)
    cut(tmp_path / "out" / "checkpoint-5")
    with pytest.raises(CheckpointError, match=r"remove .*checkpoint-5 to resume from .*checkpoint-4"):
        run(tmp_path, resume=True)
    (tmp_path / "out" / "checkpoint-5").rename(tmp_path / "removed")
    _, log = run(tmp_path, resume=True)
    assert log.of("start")[0]["first_step"] == 4
    assert AGAIN not in said(log)


@pytest.mark.parametrize(("step", "advice"), [(4, "to begin again"), (8, "to go on from .*checkpoint-4")])
def test_a_checkpoint_that_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, advice: str
) -> None:
    whole = training.write_folder

    def full(path: Path, fill: Any) -> None:
        if path.name == f"checkpoint-{step}":
            raise InputError(f"{path}: can't be written (No space left on device). Make room")
        whole(path, fill)

    monkeypatch.setattr(training, "write_folder", full)
    with pytest.raises(CheckpointError, match=rf"Make room; then add --resume {advice}"):
        run(tmp_path)


def test_a_second_process_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    """It would remove what the first one is writing."""
    log, refusals = Log(), []
    given = running.options(running.prepared(tmp_path))
    half_written = tmp_path / "out" / ".tmp-1-checkpoint-8"

    def report(event: str, values: dict[str, Any]) -> None:
        log(event, values)
        if event == "step" and values["step"] in (2, 7):
            half_written.mkdir(exist_ok=True)
            for changes in ({"resume": True}, {"resume": True, "learning_rate": 1.0}, {}):
                with pytest.raises(InputError) as caught:
                    run(tmp_path, **changes)
                refusals.append(str(caught.value))
            assert half_written.is_dir()

    assert finetune(given, report).status == "finished"
    named = f"{tmp_path / 'out'}: is in use by process {os.getpid()}; wait"
    assert [text.startswith(named) for text in refusals] == [True] * 3 + [True, False, False]
    assert "with other options" in refusals[4]
    assert "is not empty" in refusals[5]
    run(tmp_path, "alone")
    left = {path.name for path in (tmp_path / "out").iterdir()} - {half_written.name}
    assert left == {path.name for path in (tmp_path / "alone").iterdir()}


def test_a_second_grid_is_refused(tmp_path: Path) -> None:
    refusals = []
    options = running.options(running.prepared(tmp_path), steps=2)

    def report(event: str, values: dict[str, Any]) -> None:
        if event == "experiment":
            with pytest.raises(InputError, match=r"/out: is in use by process") as caught:
                run_grid(running.options(tmp_path, steps=2, resume=True), {"seed": (1, 2)})
            refusals.append(caught.value)

    assert run_grid(options, {"seed": (1, 2)}, report).status == "finished"
    assert len(refusals) == 2


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    run(tmp_path, stop_after=5)
    (tmp_path / "out" / ".tmp-1-checkpoint-8").mkdir()
    run(tmp_path, resume=True)
    assert not list((tmp_path / "out").glob(".tmp-*"))


def diverged(folder: Path, **changes: Any) -> Path:
    with pytest.raises(TrainingDiverged, match="There is no checkpoint yet"):
        run(folder, learning_rate=1e30, warmup=0.0, **changes)
    return folder / "out"


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_saved_nothing_gives_way(tmp_path: Path, resume: bool) -> None:
    diverged(tmp_path)
    result, log = run(tmp_path, resume=resume)
    assert result.status == "finished"
    assert "the run in it had saved no checkpoint; starting from the beginning" in said(log)
    assert "nothing to resume" not in said(log)
    run(tmp_path, "alone")
    ours, theirs = ({path.name for path in (tmp_path / out).iterdir()} for out in ("out", "alone"))
    assert ours == theirs


@pytest.mark.parametrize("name", ["notes.txt", "best/model.safetensors", "checkpoint-1/config.json", "data/text.bin"])
def test_what_is_not_such_a_run_alone_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    out = diverged(tmp_path)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("precious")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="is not empty"):
        run(tmp_path)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_path_may_be_spelled_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running.prepared(tmp_path)
    monkeypatch.chdir(tmp_path)
    relative = {"data": "train.csv", "dev": "./dev.csv", "model": "model"}
    run(tmp_path, stop_after=5, **relative)
    result, log = run(tmp_path, resume=True)
    assert (result.status, log.of("start")[0]["first_step"]) == ("finished", 5)
    assert run(tmp_path, resume=True, **relative)[0].status == "already finished"
    (tmp_path / "copy.csv").write_bytes((tmp_path / "train.csv").read_bytes())
    with pytest.raises(InputError, match=r"with other options: DATA was 'train\.csv' and is 'copy\.csv'\. Give"):
        run(tmp_path, resume=True, **{**relative, "data": "copy.csv"})


def test_a_stop_is_no_end_of_the_folder(tmp_path: Path) -> None:
    """The run that was stopped has given its folder back."""
    options = running.options(running.prepared(tmp_path))
    assert finetune(options, should_stop=StopAfter(5)).status == "interrupted"
    assert run(tmp_path, resume=True)[0].status == "finished"
