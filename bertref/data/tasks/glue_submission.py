"""Answers as GLUE's site takes them (https://gluebenchmark.com/submit): for each task a file with the header
`index TAB prediction` and a line for each example of the test part, numbered from 0.

    CoLA, SST-2, MRPC, QQP, WNLI    0 or 1
    STS-B                           a number from 0 to 5, three decimals
    MNLI-m, MNLI-mm, AX             entailment, neutral or contradiction
    QNLI, RTE                       entailment or not_entailment
"""

import math
from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ...plumbing.files import write_file
from .glue import TASKS

_NAMES = {("mnli", "test"): "MNLI-m", ("mnli", "test-mismatched"): "MNLI-mm", ("ax", "test"): "AX"}
HEADER = "index\tprediction"


def submission_name(task: str, part: str = "test") -> str:
    """The name of the file: "CoLA.tsv", "MNLI-mm.tsv"."""
    return f"{_NAMES.get((task, part), TASKS[task].folder)}.tsv"


def write_submission(folder: Path, task: str, answers: Iterable[str | float], part: str = "test") -> Path:
    """Writes the answers to a test part, in its order: labels, or scores for STS-B. Gives the file's path.

    Raises `InputError` for an answer that the task does not have, and if the disk refuses.
    """
    labels = TASKS[task].labels
    lines = [f"{index}\t{_prediction(answer, labels, index)}" for index, answer in enumerate(answers)]
    path = folder / submission_name(task, part)
    write_file(path, "".join(f"{line}\n" for line in (HEADER, *lines)).encode())
    return path


def _prediction(answer: str | float, labels: tuple[str, ...] | None, index: int) -> str:
    if labels is None:
        score = float(answer)
        if not math.isfinite(score):
            raise InputError(f"answer {index} is {score}; a score has to be finite")
        return f"{min(max(score, 0.0), 5.0):.3f}"
    if answer not in labels:
        raise InputError(f"answer {index} is {answer!r}; the task's labels are {', '.join(labels)}")
    return str(answer)
