"""Runs of a second, as a library user makes them, and what they leave behind."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from bertref.train import PretrainOptions, pretrain
from tests import small_run


class Log(list[tuple[str, dict[str, Any]]]):
    """Collects events."""

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        self.append((event, values))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [values for event, values in self if event == name]


class StopAfter:
    """Asks the run to stop once `steps` steps have been made."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def run(folder: Path, out: str = "out", stop_after: int = 10**6, **changes: object) -> Log:
    log = Log()
    options = PretrainOptions(**small_run.options(folder, out, **changes))  # type: ignore[arg-type]
    pretrain(options, log, StopAfter(stop_after))
    return log


def weights(path: Path) -> dict[str, np.ndarray]:
    return load_file(path / "model.safetensors")


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
