"""Pre-training in several processes, as threads: resuming, stopping, refusing, who writes and who reports."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.checkpoint import training as states
from bertref.errors import InputError, ProcessLost
from bertref.train import PretrainOptions, pretrain
from bertref.train import checkpoints as checkpoints_module
from tests import small_run

from ..pretraining.running import Log, StopAfter, equal, run, weights
from .threads import ThreadWorld, attempts, together


def shared(folder: Path, size: int, out: str = "out", stop_after: int = 10**6, **changes: object) -> list[Log]:
    """The events of each process of a run. Only the last one is asked to stop."""
    options = PretrainOptions(**small_run.options(folder, out, **changes))  # type: ignore[arg-type]

    def work(world: ThreadWorld) -> Log:
        log, stops = Log(), StopAfter(stop_after)
        pretrain(options, log, stops if world.rank == size - 1 else lambda: False, world)
        return log

    return together(size, work)


def losses(log: Log) -> list[float]:
    return [v["loss"] for v in log.of("step")]


@pytest.mark.parametrize(("size", "changes"), [(2, {}), (3, {"accumulate": 2, "layout": "padded"})])
def test_a_run_of_several_processes_is_that_of_one(tmp_path: Path, size: int, changes: dict[str, object]) -> None:
    """Batches of five examples, dropout on, an evaluation on the way."""
    options = {"precision": "float64", "batch_size": 5, "steps": 8, "eval_every": 5}
    one, many = run(tmp_path, "one", **options), shared(tmp_path, size, "many", **options, **changes)
    np.testing.assert_allclose(losses(many[0]), losses(one), rtol=1e-10)
    for was, now in zip(one.of("eval"), many[0].of("eval"), strict=True):
        numbers = was.keys() - {"on"}
        assert [now[name] for name in numbers] == pytest.approx([was[name] for name in numbers], rel=1e-10)
    assert [v["tokens"] for v in many[0].of("step")] == [v["tokens"] for v in one.of("step")]
    assert many[0].of("start")[0]["processes"] == size
    assert many[1:] == [[]] * (size - 1), "process 0 alone reports"
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "many")
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name], array, rtol=0, atol=1e-8, err_msg=name)


def test_resuming_with_as_many_processes_is_bit_equal(tmp_path: Path) -> None:
    shared(tmp_path, 2, "whole")
    log = shared(tmp_path, 2, "parts", 5)[0]
    assert (log.of("done")[0]["status"], log.of("done")[0]["step"]) == ("interrupted", 5)
    log = shared(tmp_path, 2, "parts", resume=True)[0]
    assert log.of("start")[0]["first_step"] == 5
    assert not any("process" in v["text"] for v in log.of("message"))
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_resuming_with_another_number_goes_on_and_says_so(tmp_path: Path) -> None:
    options = {"precision": "float64"}
    one = run(tmp_path, "one", **options)
    first = shared(tmp_path, 2, "parts", 5, **options)[0]
    state = json.loads((tmp_path / "parts/checkpoint-5/training_state.json").read_text())
    assert state["processes"] == 2
    second = shared(tmp_path, 3, "parts", 4, resume=True, **options)[0]
    assert any("Before it was 2 processes, now it is 3" in v["text"] for v in second.of("message"))
    third = run(tmp_path, "parts", resume=True, **options)
    assert any("Before it was 3 processes, now it is 1" in v["text"] for v in third.of("message"))
    np.testing.assert_allclose(losses(first) + losses(second) + losses(third), losses(one), rtol=1e-10)


def test_a_run_of_one_process_says_nothing_of_processes(tmp_path: Path) -> None:
    log = run(tmp_path, stop_after=4)
    assert "processes" not in log.of("start")[0]
    assert "processes" not in json.loads((tmp_path / "out/checkpoint-4/training_state.json").read_text())


def test_resuming_a_finished_run_does_nothing(tmp_path: Path) -> None:
    shared(tmp_path, 2, steps=2)
    logs = shared(tmp_path, 2, steps=2, resume=True)
    assert "finished" in logs[0].of("message")[-1]["text"]
    assert not logs[0].of("step")


def refusals(folder: Path, size: int, change: Any = lambda options, rank: options, **changes: object) -> list[str]:
    """What each process of a run that can't be made raises."""
    options = PretrainOptions(**small_run.options(folder, **changes))  # type: ignore[arg-type]
    found = attempts(size, lambda world: pretrain(change(options, world.rank), world=world))
    assert all(isinstance(error, InputError | ProcessLost) for error in found), found
    return [f"{type(error).__name__}: {error}" for error in found]


def test_a_run_that_can_not_begin_is_refused_by_process_0_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    first, *others = refusals(tmp_path, 3)
    assert "InputError" in first
    assert "is not empty" in first
    assert all("because process 0 could not begin" in other for other in others)
    first, _ = refusals(tmp_path, 2, out=str(tmp_path / "new"), corpus=(str(tmp_path / "nowhere.txt"),))
    assert "nowhere.txt" in first
    assert not (tmp_path / "new").exists()


def test_processes_with_other_options_are_refused(tmp_path: Path) -> None:
    found = refusals(tmp_path, 3, lambda options, rank: replace(options, seed=7) if rank == 1 else options)
    assert all("process 1 has other options than process 0: --seed is 7, not 12345." in error for error in found)
    assert not (tmp_path / "out").exists()


def test_a_batch_with_fewer_examples_than_processes_is_refused(tmp_path: Path) -> None:
    for error in refusals(tmp_path, 3, batch_size=2):
        assert "a batch of 2 can't be shared by 3 processes" in error


def test_weights_that_come_apart_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checkpoints_module.must_hold_the_same

    def drifted(world: ThreadWorld, params: dict[str, np.ndarray], step: int) -> None:
        name = next(iter(params))
        ours = np.nextafter(params[name], np.float32(9)) if world.rank == 1 else params[name]
        whole(world, {**params, name: ours}, step)

    monkeypatch.setattr(checkpoints_module, "must_hold_the_same", drifted)
    for error in refusals(tmp_path, 3):
        assert "after step 4 the weights of process 1 are not those of process 0" in error
    assert not states.checkpoints(tmp_path / "out")


def test_process_0_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread may open files for writing only if it is process 0."""
    first: set[int] = set()
    strangers: list[str] = []
    real = os.replace

    def watched(old: Any, new: Any) -> None:
        if threading.get_ident() not in first:
            strangers.append(str(new))
        real(old, new)

    monkeypatch.setattr(os, "replace", watched)
    options = PretrainOptions(**small_run.options(tmp_path, steps=5))  # type: ignore[arg-type]

    def work(world: ThreadWorld) -> None:
        if world.rank == 0:
            first.add(threading.get_ident())
        pretrain(options, world=world)

    together(2, work)
    assert not strangers
    assert (tmp_path / "out/model.safetensors").is_file()
