"""Processes that share an evaluation: what each finds has the bits of one process's, and each computes its share."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertref
from bertref import EvaluateOptions
from bertref.evaluation.as_json import result_as_json
from bertref.inference import loaded
from bertref.inference.team import answered
from bertref.text.encoding import Encoding
from bertref.train.parallel import torchrun
from bertref.train.parallel.agreement import must_want_the_same
from tests.cli_helpers import in_process
from tests.train.parallel.threads import Meeting, ThreadWorld, together

from .test_api import CASES, folder  # noqa: F401


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "BATCH", 2)
    monkeypatch.setattr(loaded, "TOKENS", 1)


class Counting(ThreadWorld):
    """Keeps how many sequences this process computed, of how many."""

    def __init__(self, world: ThreadWorld) -> None:
        super().__init__(world._meeting, world.rank)
        self.own = self.all = 0

    def collect(self, value: Any) -> Any:
        found = super().collect(value)
        self.own, self.all = self.own + len(value), self.all + sum(map(len, found))
        return found


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(("task", "data", "model"), CASES, ids=[task for task, _, _ in CASES])
def test_all_find_what_one_process_does(
    folder: Path, tmp_path: Path, size: int, task: str, data: str, model: str  # noqa: F811
) -> None:
    def options(out: str) -> EvaluateOptions:
        given = {"model": str(folder / model), "max_length": 24, "out": str(tmp_path / out)}
        return EvaluateOptions(task, str(folder / data), **given)  # type: ignore[arg-type]

    one = result_as_json(bertref.evaluate(options("one")))

    def work(world: ThreadWorld) -> tuple[Any, Counting]:
        team = Counting(world)
        return result_as_json(bertref.evaluate(options(f"team-{world.rank}"), team=team)), team

    for found, team in together(size, work):
        assert json.dumps(found) == json.dumps(one)
        assert 0 < team.own < team.all
    assert [path.name for path in tmp_path.glob("team-*")] == ["team-0"], "process 0 alone writes"
    for path in (tmp_path / "one").rglob("*.*"):
        assert (tmp_path / "team-0" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


def test_a_batch_is_computed_by_one_process_and_is_that_of_one_process() -> None:
    encodings = [Encoding([0] * length, [0] * length) for length in (3, 1, 4, 1, 5, 9, 2)]

    def rows(some: list[Encoding]) -> list[np.ndarray]:
        return [np.array([len(each.input_ids), len(some)]) for each in some]

    want = [row.tolist() for row in answered(encodings, rows)]
    assert [row[0] for row in want] == [3, 1, 4, 1, 5, 9, 2]
    seen: list[int] = []

    def work(world: ThreadWorld) -> list[np.ndarray]:
        return answered(encodings, lambda some: seen.append(len(some)) or rows(some), world)

    for found in together(3, work):
        assert [row.tolist() for row in found] == want
    assert sum(seen) == len(encodings)
    assert answered([], rows) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_process_0_alone_shows_what_all_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rank: int  # noqa: F811
) -> None:
    """One process by the command line, the other one by the functions that it calls."""
    options = EvaluateOptions("classification", str(folder / "texts.csv"), model=str(folder / "texts"))
    given = ["evaluate", options.task, options.data, "--model", str(options.model), "--json"]
    alone = in_process(*given)
    meeting = Meeting(2)
    monkeypatch.setattr(torchrun, "joined", lambda: nullcontext(ThreadWorld(meeting, rank)))

    def other() -> None:
        world = ThreadWorld(meeting, 1 - rank)
        must_want_the_same(world, asdict(options))
        bertref.evaluate(options, team=world)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(other)
        done = in_process(*given)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ((alone.stdout, alone.stderr) if rank == 0 else ("", ""))
