"""Fine-tuning in several processes, as threads: the numbers of one, whoever evaluates; resuming; a grid is refused."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.train.finetuning.run import FinetuneResult, finetune
from bertref.train.parallel import torchrun
from tests.cli_helpers import in_process

from ..finetuning.running import cache, options, prepared, run, weights  # noqa: F401
from ..pretraining.running import Log, StopAfter, equal
from .threads import Meeting, ThreadWorld, together


def shared(
    folder: Path, size: int, out: str = "out", stop_after: int = 10**6, **changes: Any
) -> tuple[list[FinetuneResult], list[Log]]:
    """Results and events of each process of a run. Only the last one is asked to stop."""
    given = options(prepared(folder), out, **changes)

    def work(world: ThreadWorld) -> tuple[FinetuneResult, Log]:
        log, stops = Log(), StopAfter(stop_after)
        return finetune(given, log, stops if world.rank == size - 1 else lambda: False, world), log

    results, logs = zip(*together(size, work), strict=True)
    return list(results), list(logs)


def numbers(log: Log, event: str, *names: str) -> list[list[float]]:
    return [[v[name] for name in names] for v in log.of(event)]


@pytest.mark.parametrize("size", [2, 3])
def test_a_run_of_several_processes_is_that_of_one(tmp_path: Path, size: int) -> None:
    """Three batches of 13 examples and one of a single example make an epoch; dropout is on."""
    changes = {"precision": "float64", "batch_size": 13, "steps": 9}
    result, one = run(tmp_path, "one", **changes)
    results, logs = shared(tmp_path, size, "many", **changes)
    for event, names in (("step", ("loss", "gradient_norm")), ("eval", ("step", "accuracy", "loss"))):
        np.testing.assert_allclose(numbers(logs[0], event, *names), numbers(one, event, *names), rtol=1e-10)
    assert logs[1:] == [[]] * (size - 1), "process 0 alone reports"
    for found in results:
        assert (found.status, found.step, found.best_step) == (result.status, result.step, result.best_step)
        assert found.metrics == pytest.approx(result.metrics, rel=1e-10, nan_ok=True)
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "many")
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name], array, rtol=0, atol=1e-8, err_msg=name)
    was, now = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "many"))
    assert [each["step"] for each in now["evaluations"]] == [each["step"] for each in was["evaluations"]]


def test_the_optimizers_state_may_be_shared_out(tmp_path: Path) -> None:
    """Some parameters are frozen, the others learn at rates of their own; a run goes on with it and without."""
    changes = {"precision": "float64", "batch_size": 13, "steps": 8, "freeze": "1", "layer_decay": 0.5}
    _, one = run(tmp_path, "one", **changes)
    _, first = shared(tmp_path, 2, "many", 3, shard_optimizer=True, **changes)
    _, second = shared(tmp_path, 3, "many", 3, shard_optimizer=True, resume=True, **changes)
    _, third = shared(tmp_path, 2, "many", resume=True, **changes)
    found = [row for logs in (first, second, third) for row in numbers(logs[0], "step", "loss", "gradient_norm")]
    np.testing.assert_allclose(found, numbers(one, "step", "loss", "gradient_norm"), rtol=1e-10)
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "many")
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name], array, rtol=0, atol=1e-8, err_msg=name)
    with pytest.raises(InputError, match="--shard-optimizer cuts parameters into pieces, but lamb needs them whole"):
        run(tmp_path, "lamb", optimizer="lamb", shard_optimizer=True)


@pytest.mark.parametrize("stop", [4, 6])
def test_a_stopped_run_goes_on_bit_equal(tmp_path: Path, stop: int) -> None:
    """Step 6 has an evaluation that the stopped run did not make."""
    whole, _ = shared(tmp_path, 2, "whole", steps=8)
    first, _ = shared(tmp_path, 2, "parts", stop, steps=8)
    assert [found.status for found in first] == ["interrupted"] * 2
    second, logs = shared(tmp_path, 2, "parts", steps=8, resume=True)
    assert not any("Before it was" in v["text"] for v in logs[0].of("message"))
    for found in second:
        assert (found.best_step, found.metrics) == (
            whole[0].best_step, pytest.approx(whole[0].metrics, nan_ok=True, abs=0)
        )  # fmt: skip
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_all_end_where_patience_does(tmp_path: Path) -> None:
    results, _ = shared(tmp_path, 2, steps=40, patience=1, learning_rate=1e-9)
    assert results[0].step < 40
    assert results[0].step == results[1].step


def test_a_batch_with_fewer_examples_than_processes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a batch of 2 can't be shared by 3 processes"):
        shared(tmp_path, 3, batch_size=2)
    assert not (tmp_path / "out").exists()


def test_a_grid_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torchrun, "joined", lambda: nullcontext(ThreadWorld(Meeting(2), 0)))
    done = in_process("finetune", "classification", str(tmp_path / "a.csv"), "--model", "m", "--grid", "seed=1,2")
    assert done.returncode == 2
    assert "--grid runs one experiment after the other" in done.stderr
