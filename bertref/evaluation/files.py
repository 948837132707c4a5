"""The files that an evaluation leaves: for programs, for GLUE's site, and as the original writes them.

    results.json              everything as one object (`as_json`)
    eval_results.txt          "eval_accuracy = 0.91" and so on, sorted by name, as `run_classifier.py`
    predictions.jsonl         a line for each example: place, prediction, truth, scores
    test_results.tsv, ...     what is the kind's habit (`EvaluationKind.files`)
    CoLA.tsv, MNLI-m.tsv, ... of a test part of GLUE, as its site takes it

Of several parts, the files of all but the first have "_PART" in their names. `results.json` names the files beside it
under "files": the next evaluation into the folder removes them. Those for GLUE's site stay, which are collected.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..data.tasks.glue import TASKS
from ..data.tasks.glue_submission import write_submission
from ..errors import InputError
from ..metrics.value import Value
from ..plumbing.files import write_chunks, write_file
from .as_json import result_as_json
from .kinds import EvaluationKind
from .results import EvaluateResult, PartResult

RESULTS, EVAL_RESULTS, PREDICTIONS = "results.json", "eval_results", "predictions"


def write_evaluation(folder: Path, result: EvaluateResult, kind: EvaluationKind) -> None:
    """Writes all files in place of a former evaluation's, `results.json` last. Raises `InputError` if the disk refuses,
    for an answer that a task of GLUE does not have, and what `former_files` raises."""
    _remove(former_files(folder))
    before = _files(folder, result)
    for i, (name, part) in enumerate(result.parts.items()):
        suffix = f"_{name}" if i else ""
        answers = part.evaluation.answers
        lines = (json.dumps(record.as_json(), ensure_ascii=False) for record in kind.records(answers, part.part))
        write_chunks(folder / f"{PREDICTIONS}{suffix}.jsonl", (f"{line}\n".encode() for line in lines))
        kind.files(folder, suffix, answers)
        if part.evaluation.metrics:
            text = eval_results(part.evaluation.metrics, result.steps)
            write_file(folder / f"{EVAL_RESULTS}{suffix}.txt", text.encode())
    now = _files(folder, result)
    files = sorted(path.relative_to(folder).as_posix() for path in now if now[path] != before.get(path))
    for name, part in result.parts.items():
        if result.task in TASKS and name.startswith("test"):
            _submit(folder, result.task, name, part, kind)
    content = {**result_as_json(result), "files": files, "versions": {"bertref": __version__}}
    write_file(folder / RESULTS, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def former_files(folder: Path) -> list[Path]:
    """The files that a former evaluation left in a folder, its `results.json` last.

    Raises `InputError` where that file is no evaluation's: a model's, or somebody's own.
    """
    path = folder / RESULTS
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = [str(name) for name in content.get("files", ())] if {"source", "parts"} <= content.keys() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        names = None
    if names is None:
        raise InputError(f"{path}: is not what an evaluation wrote and would be replaced; choose another --out")
    inside = (folder / name for name in names if (folder / name).resolve().is_relative_to(folder.resolve()))
    return [*(file for file in inside if file.is_file()), path]


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            why = error.strerror or error
            raise InputError(f"{path}: a former evaluation's file can't be removed ({why})") from None


def _files(folder: Path, result: EvaluateResult) -> dict[Path, tuple[int, int]]:
    """The files where an evaluation may write some, in its folder and in those of its parts; and of each what is
    another number when it has been written anew."""
    folders = (folder, *(folder / name for name in result.parts))
    files = (path for each in folders if each.is_dir() for path in each.iterdir() if path.is_file())
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def eval_results(metrics: Mapping[str, Value], steps: int | None) -> str:
    """Lines "name = value" sorted by name: eval_accuracy, ..., eval_loss, global_step, loss.

    The original's `loss` is the mean of its batches' losses, `eval_loss` that of its examples'; here both are the
    latter. Source: google-research/bert, `run_classifier.py`.
    """
    values: dict[str, Any] = {f"eval_{name}": value.value for name, value in metrics.items()}
    if "loss" in metrics:
        values["loss"] = values["eval_loss"]
    if steps is not None:
        values["global_step"] = steps
    return "".join(f"{name} = {values[name]}\n" for name in sorted(values))


def _submit(folder: Path, task: str, name: str, part: PartResult, kind: EvaluationKind) -> None:
    records = kind.records(part.evaluation.answers, part.part)
    write_submission(folder, task, (record.prediction for record in records), name)
