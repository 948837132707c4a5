"""Jobs that take a moment: a config of two narrow layers, and workers that are no processes."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bertref.bench import Job, roofline
from bertref.bench import group as group_module
from bertref.bench import race as race_module
from bertref.bench.race import with_lengths
from bertref.bench.worker import Worker

CONFIG = {
    "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64,
}  # fmt: skip


def config(folder: Path, **changes: Any) -> str:
    """Writes the config; returns its path."""
    path = folder / "config.json"
    path.write_text(json.dumps({**CONFIG, **changes}), encoding="utf-8")
    return str(path)


def job(folder: Path, command: str = "pretrain", **changes: Any) -> Job:
    """A job with its sequences."""
    given = {"config": config(folder), "batch_size": 3, "seq_len": 12, **changes}
    return with_lengths(Job(command, **given))


class WorkerHere(contextlib.AbstractContextManager["WorkerHere"]):
    """A worker in this process, which has its libraries loaded: for what a race gives, not for how it runs."""

    pid = os.getpid()

    def __init__(self, name: str, surroundings: Mapping[str, str]) -> None:
        self.name, self._worker = name, Worker()

    def ask(self, do: str, **values: Any) -> Any:
        request = json.loads(json.dumps({"do": do, **values}))
        return json.loads(json.dumps(self._worker.answer(request)))

    def __exit__(self, *_error: object) -> None:
        pass


def race_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Races in this process, whose turns are single pieces of work."""
    monkeypatch.setattr(race_module, "TURN", 0.0)
    for module in (group_module, roofline):
        monkeypatch.setattr(module, "Process", WorkerHere)
