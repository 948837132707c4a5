"""GLUE's averages from results on the disk: the published ones, and none without all of its tasks."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertref.errors import InputError
from bertref.evaluation.glue_results import glue_average, read_results

LARGE = {
    "cola": {"matthews": 0.605}, "sst-2": {"accuracy": 0.949}, "mrpc": {"f1": 0.893, "accuracy": 0.854},
    "sts-b": {"pearson": 0.876, "spearman": 0.865}, "qqp": {"f1": 0.721, "accuracy": 0.893},
    "mnli": {"accuracy": 0.867, "dev-mismatched/accuracy": 0.859}, "qnli": {"accuracy": 0.927},
    "rte": {"accuracy": 0.701}, "wnli": {"accuracy": 0.651},
}  # fmt: skip
"""BERT Large's, as the paper and the leaderboard have them."""


def write(folder: Path, task: str, metrics: dict[str, Any]) -> None:
    (folder / task).mkdir(parents=True, exist_ok=True)
    content = {"schema": 1, "task": task, "metrics": metrics}
    (folder / task / "results.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for task, metrics in LARGE.items():
        write(tmp_path, task, metrics)
    write(tmp_path, "squad", {"f1": 90.0})
    return tmp_path


def test_the_published_averages(results: Path) -> None:
    found = read_results(results)
    assert list(found) == list(LARGE)
    assert found["mnli"] == {"accuracy": 0.867, "accuracy_mismatched": 0.859}
    assert round(100 * glue_average(found).value, 1) == 80.5
    assert round(100 * glue_average(found, "table1").value, 1) == 82.1


def test_answers_without_truth_and_those_of_a_finetuning_are_no_second_result(results: Path) -> None:
    """`finetune --predict-on test --predict-on dev` writes results.json below its own."""
    write(results / "rte" / "predictions", "rte", {})
    write(results / "mrpc" / "predictions", "mrpc", {"f1": 0.1, "accuracy": 0.1})
    write(results, "ax", {})
    assert list(read_results(results)) == list(LARGE)
    assert read_results(results)["mrpc"] == LARGE["mrpc"]
    (results / "rte" / "results.json").unlink()
    with pytest.raises(InputError, match=r"missing: rte$"):
        glue_average(read_results(results))


def test_no_average_without_all_tasks(results: Path) -> None:
    (results / "wnli" / "results.json").unlink()
    write(results, "mnli", {"accuracy": 0.867})
    with pytest.raises(InputError, match=r"missing: mnli \(accuracy_mismatched\), wnli$"):
        glue_average(read_results(results))
    with pytest.raises(InputError, match=r"missing: mnli \(accuracy_mismatched\)$"):
        glue_average(read_results(results), "table1")


def test_an_undefined_figure_makes_the_average_undefined(results: Path) -> None:
    write(results, "cola", {"matthews": None})
    assert glue_average(read_results(results)).undefined


def test_what_is_wrong_with_the_folder(results: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(results / "again", "rte", {"accuracy": 0.5})
    with pytest.raises(InputError, match=r"is about rte, as .*results.json is; leave one"):
        read_results(results)
    (results / "rte" / "results.json").write_text("[]")
    with pytest.raises(InputError, match=r"is no results.json of bertref"):
        read_results(results)
    with pytest.raises(InputError, match=r"no results.json with metrics of a task of GLUE in it"):
        read_results(tmp_path_factory.mktemp("empty"))
    with pytest.raises(InputError, match="no such folder"):
        read_results(results / "nowhere")
