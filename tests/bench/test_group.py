"""Several workers as one side: what each is told, and whose error is raised."""

import json
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from bertref.bench import Job
from bertref.bench import group as group_module
from bertref.bench.group import ProcessGroup
from bertref.errors import BackendUnavailable, BertrefError, InputError, ProcessLost


class Told:
    """A worker that answers with what it was told, or fails."""

    fails: ClassVar[dict[int, BertrefError]] = {}
    waits_for: ClassVar[dict[int, threading.Event]] = {}

    def __init__(self, name: str, surroundings: Mapping[str, str]) -> None:
        self.name, self.surroundings = name, surroundings
        self.rank = int(surroundings.get("RANK", "0"))

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        if self.rank in self.waits_for:
            self.waits_for[self.rank].wait(60)
        if self.rank in self.fails:
            raise self.fails[self.rank]
        return {"name": self.name, "do": do, **values, **self.surroundings}

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *_error: object) -> None:
        for event in self.waits_for.values():
            event.set()


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "Process", Told)
    monkeypatch.setattr(group_module, "PATIENCE", 0.1)
    monkeypatch.setattr(Told, "fails", {})
    monkeypatch.setattr(Told, "waits_for", {})
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)


def test_each_is_told_its_place_and_its_share_of_the_threads() -> None:
    with ProcessGroup("bertref", 3, 6) as group:
        found = group.ask("run", times=2)
    assert [answer["name"] for answer in found] == [f"bertref, process {rank} of 3" for rank in range(3)]
    assert [(answer["RANK"], answer["WORLD_SIZE"], answer["times"]) for answer in found] == [
        ("0", "3", 2), ("1", "3", 2), ("2", "3", 2)
    ]  # fmt: skip
    assert [answer["LOCAL_RANK"] for answer in found] == ["0", "1", "2"]
    assert {answer["OMP_NUM_THREADS"] for answer in found} == {"2"}
    assert len({(answer["MASTER_ADDR"], answer["MASTER_PORT"]) for answer in found}) == 1
    assert {answer["GLOO_SOCKET_IFNAME"][:2] for answer in found} == {"lo"}


def test_one_is_alone() -> None:
    with ProcessGroup("alone", 1, 2) as group:
        (found,) = group.ask("run")
    assert (found["name"], found["OMP_NUM_THREADS"], "WORLD_SIZE" in found) == ("alone", "2", False)


@pytest.mark.parametrize("cause", [InputError("no"), BackendUnavailable("killed")])
def test_the_error_of_the_one_that_failed_by_itself_is_raised(cause: BertrefError) -> None:
    Told.fails.update({0: ProcessLost("lost another"), 1: cause})
    with pytest.raises(type(cause), match=str(cause)), ProcessGroup("bertref", 2, 2) as group:
        group.ask("run")


def test_who_waits_for_one_that_failed_is_not_waited_for() -> None:
    Told.waits_for[0] = threading.Event()
    Told.fails[1] = InputError("no")
    with pytest.raises(InputError, match="no"), ProcessGroup("bertref", 2, 2) as group:
        group.ask("run")


def test_one_that_lost_another_is_believed_if_the_other_says_nothing() -> None:
    Told.waits_for[1] = threading.Event()
    Told.fails[0] = ProcessLost("lost another")
    with pytest.raises(ProcessLost), ProcessGroup("bertref", 2, 2) as group:
        group.ask("run")


def test_the_other_side_is_one_process_with_the_same_threads() -> None:
    job = Job("parallel", threads=4, processes=2, shard_optimizer=True)
    other = Job.from_json(job.of("alone").to_json())
    assert (other.threads, other.processes, other.shard_optimizer) == (4, 1, False)
    assert json.loads(job.to_json())["processes"] == 2
