"""The files that an evaluation leaves: for programs, for GLUE's site, and as the original writes them.

    results.json              everything as one object (`as_json`)
    eval_results.txt          "eval_accuracy = 0.91" and so on, sorted by name, as `run_classifier.py`
    predictions.jsonl         a line for each example: place, prediction, truth, scores
    test_results.tsv, ...     what is the kind's habit (`EvaluationKind.files`)
    CoLA.tsv, MNLI-m.tsv, ... of a test part of GLUE, as its site takes it

Of several parts, the files of all but the first have "_PART" in their names.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..data.tasks.glue import TASKS
from ..data.tasks.glue_submission import write_submission
from ..metrics.value import Value
from ..plumbing.files import write_chunks, write_file
from .as_json import result_as_json
from .kinds import EvaluationKind
from .results import EvaluateResult, PartResult

RESULTS, EVAL_RESULTS, PREDICTIONS = "results.json", "eval_results", "predictions"


def write_evaluation(folder: Path, result: EvaluateResult, kind: EvaluationKind) -> None:
    """Writes all files, `results.json` last. Raises `InputError` if the disk refuses, or for an answer that a task of
    GLUE does not have."""
    for i, (name, part) in enumerate(result.parts.items()):
        suffix = f"_{name}" if i else ""
        answers = part.evaluation.answers
        lines = (json.dumps(record.as_json(), ensure_ascii=False) for record in kind.records(answers, part.part))
        write_chunks(folder / f"{PREDICTIONS}{suffix}.jsonl", (f"{line}\n".encode() for line in lines))
        kind.files(folder, suffix, answers)
        if part.evaluation.metrics:
            text = eval_results(part.evaluation.metrics, result.steps)
            write_file(folder / f"{EVAL_RESULTS}{suffix}.txt", text.encode())
        if result.task in TASKS and name.startswith("test"):
            _submit(folder, result.task, name, part, kind)
    content = {**result_as_json(result), "versions": {"bertref": __version__}}
    write_file(folder / RESULTS, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


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
