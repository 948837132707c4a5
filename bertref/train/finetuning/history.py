"""What a run's evaluations found, on the disk: the curve, the best of them, and the weights that it had.

    history.json                {"format": ..., "seconds": ..., "evaluations": [{"step": ..., "metrics": {...}}, ...]}
    best/model.safetensors      the weights of the best evaluation so far

An evaluation is a function of the step, so one that is made again after a resume gives the same. Weights are written
before the record that names them.
"""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...checkpoint.folder import WEIGHTS, save_weights
from ...checkpoint.tensors import read as read_tensors
from ...errors import CheckpointError, InputError
from ...plumbing.files import write_file

HISTORY, BEST = "history.json", "best"
LOWER_IS_BETTER = frozenset({"loss", "mse", "mae", "brier", "calibration_error"})


def better(metric: str, one: float, other: float) -> bool:
    """Whether one value of a metric is better than another; an undefined one is worse than any."""
    if math.isnan(one):
        return False
    return math.isnan(other) or (one < other if metric in LOWER_IS_BETTER else one > other)


@dataclass
class History:
    """The evaluations of a run, oldest first: (step, metrics). `metric` decides which is the best: the first of equally
    good ones. `data` is a digest of what is learnt from. `seconds` are those that earlier parts of the run took."""

    folder: Path
    metric: str
    data: str
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def open(cls, folder: Path, metric: str, step: int, data: str) -> "History":
        """What a run in `folder` found up to `step`. Raises `CheckpointError` if the record is damaged, `InputError` if
        it is of other data."""
        path = folder / HISTORY
        if not path.is_file():
            return cls(folder, metric, data)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = [(int(each["step"]), from_json(each["metrics"])) for each in content["evaluations"]]
            seconds, before = float(content["seconds"]), str(content["data"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: is damaged ({error}); start again with another --out") from None
        if before != data:
            raise InputError(
                f"{folder}: can't be resumed: the data to learn from have changed since the run began, or another "
                "version of bertref reads them otherwise; start again with another --out"
            )
        return cls(folder, metric, data, [each for each in found if each[0] <= step], seconds)

    def has(self, step: int) -> bool:
        return any(at == step for at, _ in self.evaluations)

    @property
    def best(self) -> tuple[int, dict[str, float]] | None:
        """The best evaluation, None before the first."""
        found: tuple[int, dict[str, float]] | None = None
        for each in self.evaluations:
            if found is None or better(self.metric, each[1][self.metric], found[1][self.metric]):
                found = each
        return found

    @property
    def since_best(self) -> int:
        """How many evaluations came after the best one."""
        best = self.best
        return sum(step > best[0] for step, _ in self.evaluations) if best else 0

    def add(self, step: int, metrics: Mapping[str, float], weights: Callable[[], dict[str, Any]]) -> None:
        """Writes an evaluation down; `weights` gives the host arrays of the model, if it is the best so far."""
        self.evaluations.append((step, dict(metrics)))
        best = self.best
        assert best is not None
        if best[0] == step:
            (self.folder / BEST).mkdir(exist_ok=True)
            save_weights(self.folder / BEST, weights())
        self.write()

    def write(self) -> None:
        """Replaces the record."""
        content = {
            "format": "bertref-history", "version": 1, "metric": self.metric, "data": self.data,
            "seconds": self.seconds,
            "evaluations": [{"step": step, "metrics": to_json(metrics)} for step, metrics in self.evaluations],
        }  # fmt: skip
        write_file(self.folder / HISTORY, (json.dumps(content, indent=2) + "\n").encode())

    def best_weights(self) -> dict[str, Any]:
        """The weights that the best evaluation was made with."""
        return read_tensors(self.folder / BEST / WEIGHTS)

    def remove_best(self) -> None:
        """Removes the best weights, once the model in the run's folder has them."""
        shutil.rmtree(self.folder / BEST, ignore_errors=True)


def from_json(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as `to_json` wrote them."""
    return {name: math.nan if value is None else float(value) for name, value in metrics.items()}


def to_json(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics by name; NaN and infinities, which JSON lacks, become null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
