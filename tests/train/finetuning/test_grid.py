"""A grid: every combination once, the best one's weights, a table without seeds; stopped anywhere, nothing is lost."""

import json
import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from bertref.errors import CheckpointError, InputError
from bertref.train.finetuning.grid import Experiment, GridResult, parse_axes, run_grid, summary

from ..pretraining.running import Log, StopAfter
from . import running
from .running import cache  # noqa: F401

AXES = {"learning_rate": (1e-4, 5e-3), "seed": (1, 2)}


def grid(folder: Path, out: str = "grid", stop_after: int = 10**6, **changes: Any) -> tuple[GridResult, Log]:
    log = Log()
    options = running.options(running.prepared(folder), out, steps=6, metric="loss", **changes)
    return run_grid(options, AXES, log, StopAfter(stop_after)), log


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GridResult, Log]:
    """The folder of a grid that nobody stopped, its result and events."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *grid(folder)


def test_every_combination_once_and_the_best_is_kept(whole: tuple[Path, GridResult, Log]) -> None:
    folder, result, log = whole
    names = [f"learning-rate-{rate}-seed-{seed}" for rate in AXES["learning_rate"] for seed in AXES["seed"]]
    assert [each.name for each in result.experiments] == names
    losses = {each.name: each.metrics["loss"] for each in result.experiments}
    assert result.best == min(losses, key=lambda name: losses[name])
    with_weights = {path.parent.name for path in (folder / "grid").glob("*/model.safetensors")}
    assert with_weights == {result.best}
    lines = (folder / "grid" / "grid.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == names
    assert [row.count for row in result.rows] == [2, 2]
    assert result.rows[0].mean == pytest.approx(statistics.fmean(list(losses.values())[:2]))
    assert result.rows[0].deviation == pytest.approx(statistics.stdev(list(losses.values())[:2]))
    assert log.of("grid")[0]["best"] == result.best


def test_an_experiment_is_the_run_by_itself(whole: tuple[Path, GridResult, Log]) -> None:
    folder, result, _ = whole
    alone, _ = running.run(folder, "alone", steps=6, metric="loss", learning_rate=5e-3, seed=2)
    assert result.experiments[3].metrics == pytest.approx(alone.metrics, nan_ok=True, abs=0)


@pytest.mark.parametrize("stop", [1, pytest.param(6, marks=pytest.mark.slow), 9])
def test_stopped_and_resumed_it_gives_the_same(whole: tuple[Path, GridResult, Log], stop: int) -> None:
    folder, result, _ = whole
    out = f"stopped-{stop}"
    first, _ = grid(folder, out, stop_after=stop)
    assert first.status == "interrupted"
    second, log = grid(folder, out, resume=True)
    assert second.best == result.best
    assert [each.metrics for each in second.experiments] == [
        pytest.approx(each.metrics, nan_ok=True, abs=0) for each in result.experiments
    ]
    assert len(log.of("experiment")) == 4 - (stop > 6)
    third, log = grid(folder, out, resume=True)
    assert (third.best, log.of("experiment")) == (result.best, [])


def test_a_line_that_was_not_finished_does_not_count(whole: tuple[Path, GridResult, Log]) -> None:
    folder, _, _ = whole
    lines = shutil.copytree(folder / "grid", folder / "cut") / "grid.jsonl"
    text = lines.read_text()
    lines.write_text(text[: len(text) - 20])
    _, log = grid(folder, "cut", resume=True)
    assert [v["name"] for v in log.of("experiment")] == ["learning-rate-0.005-seed-2"]
    assert [json.loads(line)["name"] for line in lines.read_text().splitlines()] == [
        json.loads(line)["name"] for line in text.splitlines()
    ]
    lines.write_text("{}\n" + text)
    with pytest.raises(CheckpointError, match=r"grid\.jsonl, line 1: is damaged"):
        grid(folder, "cut", resume=True)


def test_other_axes_are_another_grid(whole: tuple[Path, GridResult, Log]) -> None:
    with pytest.raises(InputError, match="--batch-size was 8 and is 4"):
        grid(whole[0], resume=True, batch_size=4)


def test_a_summary_of_undefined_values() -> None:
    some = [Experiment(str(i), {"seed": i}, {"auc": v}, None, 1.0) for i, v in enumerate([math.nan, 0.5, 0.75])]
    (row,) = summary(some, "auc")
    assert (math.isnan(row.mean), row.best, row.count) == (True, 0.75, 3)


def test_axes() -> None:
    assert parse_axes(["learning-rate=2e-5, 3e-5", "seed=1,2,2", "truncate=head,tail"]) == {
        "learning_rate": (2e-5, 3e-5), "seed": (1, 2), "truncate": ("head", "tail"),
    }  # fmt: skip
    for wrong, said in (
        ("rate=1", "write an option"), ("seed", "write an option"), ("seed=a", "must be numbers"),
        ("kernels=true", "write an option"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            parse_axes([wrong])
    with pytest.raises(InputError, match="given twice"):
        parse_axes(["seed=1", "seed=2"])
