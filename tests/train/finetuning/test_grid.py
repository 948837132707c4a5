"""A grid: every combination once, the best one's weights, a table without seeds; stopped anywhere, nothing is lost."""

import json
import math
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


def test_every_combination_once_and_the_best_is_kept(tmp_path: Path) -> None:
    result, log = grid(tmp_path)
    names = [f"learning-rate-{rate}-seed-{seed}" for rate in AXES["learning_rate"] for seed in AXES["seed"]]
    assert [each.name for each in result.experiments] == names
    losses = {each.name: each.metrics["loss"] for each in result.experiments}
    assert result.best == min(losses, key=lambda name: losses[name])
    with_weights = {path.parent.name for path in (tmp_path / "grid").glob("*/model.safetensors")}
    assert with_weights == {result.best}
    lines = (tmp_path / "grid" / "grid.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == names
    assert [row.count for row in result.rows] == [2, 2]
    assert result.rows[0].mean == pytest.approx(statistics.fmean(list(losses.values())[:2]))
    assert result.rows[0].deviation == pytest.approx(statistics.stdev(list(losses.values())[:2]))
    assert log.of("grid")[0]["best"] == result.best


def test_an_experiment_is_the_run_by_itself(tmp_path: Path) -> None:
    result, _ = grid(tmp_path)
    alone, _ = running.run(tmp_path, "alone", steps=6, metric="loss", learning_rate=5e-3, seed=2)
    assert result.experiments[3].metrics == pytest.approx(alone.metrics, nan_ok=True, abs=0)


@pytest.mark.parametrize("stop", [1, 6, 9])
def test_stopped_and_resumed_it_gives_the_same(tmp_path: Path, stop: int) -> None:
    whole, _ = grid(tmp_path)
    first, _ = grid(tmp_path, "halves", stop_after=stop)
    assert first.status == "interrupted"
    second, log = grid(tmp_path, "halves", resume=True)
    assert second.best == whole.best
    assert [each.metrics for each in second.experiments] == [
        pytest.approx(each.metrics, nan_ok=True, abs=0) for each in whole.experiments
    ]
    assert len(log.of("experiment")) == 4 - (stop > 6)
    third, log = grid(tmp_path, "halves", resume=True)
    assert (third.best, log.of("experiment")) == (whole.best, [])


def test_a_line_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    grid(tmp_path)
    lines = tmp_path / "grid" / "grid.jsonl"
    text = lines.read_text()
    lines.write_text(text[: len(text) - 20])
    _, log = grid(tmp_path, resume=True)
    assert [v["name"] for v in log.of("experiment")] == ["learning-rate-0.005-seed-2"]
    assert [json.loads(line)["name"] for line in lines.read_text().splitlines()] == [
        json.loads(line)["name"] for line in text.splitlines()
    ]
    lines.write_text("{}\n" + text)
    with pytest.raises(CheckpointError, match=r"grid\.jsonl, line 1: is damaged"):
        grid(tmp_path, resume=True)


def test_other_axes_are_another_grid(tmp_path: Path) -> None:
    grid(tmp_path)
    with pytest.raises(InputError, match="--batch-size was 8 and is 4"):
        grid(tmp_path, resume=True, batch_size=4)


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
