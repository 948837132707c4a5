"""GLUE's averages from the `results.json` of its tasks, written by fine-tuning or by evaluation."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.tasks.glue import TASKS
from ..errors import InputError
from ..metrics.glue import Results, leaderboard_average, table_1_average
from ..metrics.value import Value

AVERAGES: dict[str, Callable[[Results], Value]] = {"leaderboard": leaderboard_average, "table1": table_1_average}
MISMATCHED = ("dev-mismatched/accuracy", "test-mismatched/accuracy")


def read_results(folder: Path) -> dict[str, dict[str, float]]:
    """The figures of GLUE's tasks, as shares, by task and name: of all `results.json` in a folder and below it. Those
    of other tasks are passed over, as are those without metrics (the truth is not known), and the answers that
    fine-tuning left in its folder "predictions": they come from the model whose results lie above them.

    Raises `InputError` for a folder without any, a file that is none, and a task with two of them.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; one with the results.json of GLUE's tasks is needed")
    found: dict[str, tuple[Path, dict[str, float]]] = {}
    for path in sorted(folder.rglob("results.json")):
        task, figures = _read(path)
        if task not in TASKS or not figures or _is_below_its_own(path):
            continue
        if task in found:
            raise InputError(f"{path}: is about {task}, as {found[task][0]} is; leave one in the folder")
        found[task] = path, figures
    if not found:
        raise InputError(f"{folder}: no results.json with metrics of a task of GLUE in it")
    return {task: found[task][1] for task in TASKS if task in found}


def _is_below_its_own(path: Path) -> bool:
    answers = path.resolve().parent.parent
    return answers.name == "predictions" and (answers.parent / "results.json").is_file()


def _read(path: Path) -> tuple[str, dict[str, float]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        task, metrics = content["task"], content["metrics"]
        figures = {name: math.nan if value is None else float(value) for name, value in metrics.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no results.json of bertref ({error})") from None
    for name in MISMATCHED:
        if name in figures:
            figures["accuracy_mismatched"] = figures.pop(name)
    return str(task), figures


def glue_average(results: Results, which: str = "leaderboard") -> Value:
    """The average of the `which` of `AVERAGES`, as a share. Raises `InputError` that names what is missing."""
    if which not in AVERAGES:
        raise InputError(f"there is no average {which!r}; choose one of {', '.join(AVERAGES)}")
    return AVERAGES[which](results)
