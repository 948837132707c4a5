"""Processes that torchrun starts: how they join, that they learn what one does, and that they survive being killed."""

import json
import queue
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from bertref.errors import InputError
from bertref.train.parallel.torchrun import Gloo, joined
from bertref.train.parallel.world import ALONE

from ..pretraining.running import equal, run, weights
from .launching import launch, options


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": ""}])
def test_one_process_needs_no_torch(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with joined(environment) as world:
        assert world is ALONE


def refused(environment: dict[str, str]) -> str:
    with pytest.raises(InputError) as caught, joined(environment):
        pass
    return str(caught.value)


def test_several_processes_without_torch_are_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'bertref[torch]'" in refused({"WORLD_SIZE": "2", "RANK": "0"})


def test_an_environment_that_is_not_torchruns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "WORLD_SIZE is 'two' in the environment" in refused({"WORLD_SIZE": "two"})
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert "process 1 of 2 can't join the others" in refused({"WORLD_SIZE": "2", "RANK": "1"})


def run_under_torchrun(
    folder: Path, processes: int, out: str, *further: str, **changes: object
) -> list[dict[str, object]]:
    """The events on standard output."""
    process = launch(processes, *options(folder, out, **changes), *further)
    printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize(("processes", "further"), [
    (2, ()), pytest.param(4, (), marks=pytest.mark.slow),
    pytest.param(2, ("--backend", "torch"), marks=pytest.mark.slow),
    pytest.param(3, ("--backend", "torch", "--shard-optimizer"), marks=pytest.mark.slow),
])  # fmt: skip
def test_they_learn_what_one_process_does(tmp_path: Path, processes: int, further: tuple[str, ...]) -> None:
    """Batches of five examples; process 0 alone prints. torch's tensors are sent as they are."""
    changes = {"precision": "float64", "batch_size": 5, "steps": 6}
    one = run(tmp_path, "one", **changes)
    events = run_under_torchrun(tmp_path, processes, "many", *further, **changes)
    kinds = [event["event"] for event in events]
    assert (kinds.count("start"), kinds.count("step"), kinds.count("eval"), kinds.count("done")) == (1, 6, 1, 1)
    for name, was in (("step", one.of("step")), ("eval", one.of("eval"))):
        now = [event for event in events if event["event"] == name]
        for key in ("loss", "gradient_norm", "masked_lm_loss", "masked_lm_accuracy", "next_sentence_loss"):
            if key in was[0]:
                np.testing.assert_allclose([v[key] for v in now], [v[key] for v in was], rtol=1e-10, err_msg=key)
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "many")
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name], array, rtol=0, atol=1e-8, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_processes_are_started_again_and_end_bit_equal(tmp_path: Path, seed: int) -> None:
    """Any process, at any moment, four times over; torchrun starts all again from the last checkpoint."""
    changes = {"steps": 60, "save_every": 5, "log_every": 5}
    run_under_torchrun(tmp_path, 2, "whole", **changes)
    rng, out = random.Random(seed), tmp_path / "killed"
    process = launch(2, *options(tmp_path, "killed", **changes), "--resume", restarts=4)
    killed, seen = 0, 0
    while process.poll() is None and killed < 4:
        steps = [int(path.name.partition("-")[2]) for path in out.glob("checkpoint-*")]
        workers = psutil.Process(process.pid).children()
        if steps and max(steps) > seen and len(workers) == 2:
            time.sleep(rng.uniform(0, 0.3))
            victim = rng.choice(workers)
            if victim.is_running():
                victim.kill()
                killed, seen = killed + 1, max(steps)
        time.sleep(0.01)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert killed >= 3
    assert said.count("has lost another one") >= 1, said
    assert "Traceback" not in "\n".join(line for line in said.splitlines() if "torch" not in line)
    assert equal(weights(tmp_path / "whole"), weights(out))


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_and_ends_all(tmp_path: Path) -> None:
    changes = {"steps": 5000, "save_every": 5000, "log_every": 5}
    process = launch(2, *options(tmp_path, "out", **changes))
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step") == 10:
            break
    process.terminate()
    process.communicate(timeout=600)
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert int(checkpoint.name.partition("-")[2]) >= 10


class Post:
    """`isend` and `irecv` of torch.distributed for one of several threads; `wait` takes what was sent."""

    def __init__(self, boxes: "defaultdict[tuple[int, int, int], queue.Queue[Any]]", rank: int) -> None:
        self._boxes, self._rank = boxes, rank

    def isend(self, tensor: Any, to: int, tag: int) -> Any:
        self._boxes[self._rank, to, tag].put(tensor.clone())
        return SimpleNamespace(wait=lambda: None)

    def irecv(self, tensor: Any, source: int, tag: int) -> Any:
        box = self._boxes[source, self._rank, tag]
        return SimpleNamespace(wait=lambda: tensor.copy_(box.get(timeout=60)))


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_parts_are_added_and_handed_round_in_the_order_of_the_ranks(size: int, library: Callable[..., Any]) -> None:
    """Two exchanges are under way at once."""
    boxes: defaultdict[tuple[int, int, int], queue.Queue[Any]] = defaultdict(queue.Queue)
    given = np.random.default_rng(size).normal(size=(2, size, size * 3)).astype(np.float32)

    def work(rank: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        world = Gloo(torch, Post(boxes, rank), rank, size)
        arrays, parts = [array.copy() for array in given[:, rank]], [np.empty(3, np.float32) for _ in given]
        for handle in [world.reduce_scatter(*map(library, both)) for both in zip(arrays, parts, strict=True)]:
            handle.wait()
        whole = [np.full(size * 3, np.nan, np.float32) for _ in given]
        for array, part in zip(whole, parts, strict=True):
            array[rank * 3 : rank * 3 + 3] = part
        for handle in [world.all_gather(library(array)) for array in whole]:
            handle.wait()
        return whole, arrays

    with ThreadPoolExecutor(size) as threads:
        found = list(threads.map(work, range(size)))
    for number, shares in enumerate(given):
        total = shares[0].copy()
        for share in shares[1:]:
            total += share
        for rank, (whole, arrays) in enumerate(found):
            assert whole[number].tobytes() == total.tobytes()
            assert equal({"": arrays[number]}, {"": shares[rank]}), "what was given is as it was"
