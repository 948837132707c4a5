"""Many runs of one fine-tuning: every combination of some options' values, one after the other, and what came out.

    OUT/run.json       the options that are the same in all, and the axes
    OUT/grid.jsonl     a line for each finished experiment: its values, its metrics, its seconds
    OUT/NAME/          an experiment's run; its weights are kept only while it is the best

An experiment counts once its line is written, which is after its run has finished: a grid that is killed goes on with
the experiment that it was in, from its last checkpoint, and runs none twice. Axes are the paper's (appendix A.3):
rates, epochs, seeds; any option may be one.
"""

import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint.folder import WEIGHTS
from ...checkpoint.training import checkpoints
from ...data.tasks.catalogue import data_set_info
from ...errors import CheckpointError, InputError
from ..report import Report, silent
from ..run_folder import RunRecord, claim
from .card import read_results
from .history import better, from_json, to_json
from .options import FinetuneOptions, default_options, recorded
from .run import finetune

LINES = "grid.jsonl"
SEED = "seed"
NOT_AXES = frozenset({"task", "data", "model", "out", "dev", "test", "teacher", "log_every", "save_every", "keep"})
"""Options that say what a run is about or what it leaves behind."""
CAST: dict[str, Callable[[str], Any]] = {"float": float, "int": int, "str": str}


@dataclass(frozen=True)
class Experiment:
    """One finished run: the values of its axes, and the metrics of the model that it kept."""

    name: str
    values: dict[str, Any]
    metrics: dict[str, float]
    best_step: int | None
    seconds: float


@dataclass(frozen=True)
class GridRow:
    """The experiments that differ in their seeds alone: `mean` and `deviation` (of a sample, NaN for one) of the
    metric, the best of them, and how many there are."""

    values: dict[str, Any]
    mean: float
    deviation: float
    best: float
    count: int


@dataclass(frozen=True)
class GridResult:
    """How a grid ended: `status` "finished" or "interrupted", the experiments in their order, the best one's name."""

    status: str
    metric: str
    experiments: list[Experiment]
    rows: list[GridRow]
    best: str | None


def parse_axes(given: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """"learning-rate=2e-5,3e-5", "seed=1,2,3" -> option -> values.

    Raises `InputError` for what is no option with a number or a word, no value, or the same axis twice.
    """
    kinds = {f.name: getattr(f.type, "__name__", str(f.type)).split(" ")[0] for f in fields(FinetuneOptions)}
    axes: dict[str, tuple[Any, ...]] = {}
    for text in given:
        name, _, values = text.partition("=")
        option = name.strip().replace("-", "_")
        if kinds.get(option) not in CAST or option in NOT_AXES or not values.strip():
            axes_there = [each for each, kind in kinds.items() if kind in CAST and each not in NOT_AXES]
            raise InputError(
                f"--grid {text!r}: write an option and its values, such as learning-rate=2e-5,3e-5; there are "
                + ", ".join(axes_there).replace("_", "-")
            )
        try:
            axes_values = tuple(dict.fromkeys(CAST[kinds[option]](each.strip()) for each in values.split(",")))
        except ValueError:
            raise InputError(f"--grid {text!r}: its values must be numbers ({kinds[option]})") from None
        if option in axes:
            raise InputError(f"--grid {option} is given twice")
        axes[option] = axes_values
    return axes


def run_grid(
    options: FinetuneOptions,
    axes: Mapping[str, Sequence[Any]],
    report: Report = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> GridResult:
    """Runs every combination of the axes' values with the other options as they are, into folders of `options.out`.

    Raises what `finetune` does; experiments that are finished stay.
    """
    with ExitStack() as held:
        return _run(options, axes, report, should_stop, held)


def _run(
    options: FinetuneOptions, axes: Mapping[str, Sequence[Any]], report: Report, should_stop: Callable[[], bool],
    held: ExitStack,
) -> GridResult:  # fmt: skip
    out = Path(options.out)
    settings = recorded(replace(options, **{name: values[0] for name, values in axes.items()})).options
    record = RunRecord({**settings, "grid": {name: list(values) for name, values in axes.items()}})
    claim(out, record, {**default_options(), "grid": {}}, held, resume=options.resume, report=report)
    done, metric = _read(out), ""
    planned = list(combinations(options, axes))
    for number, (name, values, each) in enumerate(planned, 1):
        if name not in done:
            report("experiment", {"number": number, "experiments": len(planned), "name": name, **values})
            result = finetune(replace(each, resume=(out / name).is_dir()), report, should_stop)
            if result.status == "interrupted":
                return _result("interrupted", list(done.values()), metric)
            done[name] = _finished(out / name, name, values)
            _append(out, done[name])
        metric = read_results(out / name)["metric"]
        _keep_best(out, list(done.values()), metric)
    found = _result("finished", list(done.values()), metric)
    assert found.best is not None
    kind, rows = data_set_info(options.task).kind, [row.__dict__ for row in found.rows]
    report("grid", {"kind": kind, "metric": metric, "best": found.best, "out": str(out / found.best), "rows": rows})
    return found


def combinations(
    options: FinetuneOptions, axes: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, dict[str, Any], FinetuneOptions]]:
    """Name, values and options of every experiment; the last axis changes fastest. Raises `InputError` as the options
    do, before the first experiment runs."""
    found = []
    for values in itertools.product(*axes.values()):
        named = dict(zip(axes, values, strict=True))
        name = "-".join(f"{key.replace('_', '-')}-{value}" for key, value in named.items())
        found.append((name, named, replace(options, out=str(Path(options.out) / name), **named)))
    return iter(found)


def summary(experiments: Sequence[Experiment], metric: str) -> list[GridRow]:
    """A row for each combination of values, seeds apart."""
    groups: dict[str, list[Experiment]] = {}
    for each in experiments:
        groups.setdefault(json.dumps(_without_seed(each.values), sort_keys=True), []).append(each)
    rows = []
    for group in groups.values():
        values = [each.metrics[metric] for each in group if metric in each.metrics]
        best = math.nan
        for value in values:
            best = value if better(metric, value, best) else best
        rows.append(GridRow(
            _without_seed(group[0].values), float(np.mean(values)) if values else math.nan,
            float(np.std(values, ddof=1)) if len(values) > 1 else math.nan, best, len(group),
        ))  # fmt: skip
    return rows


def _without_seed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != SEED}


def _result(status: str, experiments: list[Experiment], metric: str) -> GridResult:
    best = _best(experiments, metric)
    return GridResult(status, metric, experiments, summary(experiments, metric), best.name if best else None)


def _best(experiments: Sequence[Experiment], metric: str) -> Experiment | None:
    """The first of the best ones."""
    best: Experiment | None = None
    for each in experiments:
        value = each.metrics.get(metric, math.nan)
        if best is None or better(metric, value, best.metrics.get(metric, math.nan)):
            best = each
    return best


def _finished(folder: Path, name: str, values: dict[str, Any]) -> Experiment:
    found = read_results(folder)
    return Experiment(name, values, from_json(found["metrics"]), found["best_step"], found["seconds"])


def _append(out: Path, experiment: Experiment) -> None:
    line = {**experiment.__dict__, "metrics": to_json(experiment.metrics)}
    with (out / LINES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read(out: Path) -> dict[str, Experiment]:
    """The finished experiments by name; a line that a killed process did not finish does not count, and is removed."""
    path = out / LINES
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    whole, _, rest = text.rpartition("\n")
    if rest:
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    found: dict[str, Experiment] = {}
    for number, line in enumerate(whole.split("\n") if whole else [], 1):
        try:
            values = json.loads(line)
            metrics = from_json(values.pop("metrics"))
            found[values["name"]] = Experiment(metrics=metrics, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{path}, line {number}: is damaged ({error}); remove the line to run its experiment again"
            ) from None
    return found


def _keep_best(out: Path, experiments: Sequence[Experiment], metric: str) -> None:
    """Removes the weights and checkpoints of all finished experiments but the best."""
    best = _best(experiments, metric)
    for each in experiments:
        folder = out / each.name
        if each is best:
            continue
        (folder / WEIGHTS).unlink(missing_ok=True)
        for path in checkpoints(folder):
            shutil.rmtree(path, ignore_errors=True)
