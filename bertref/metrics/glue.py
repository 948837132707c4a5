"""GLUE's averages over tasks. There are two, and they are not to be compared with each other:

- the leaderboard's: each task's figures are averaged first (MNLI's two accuracies, the two figures of MRPC, STS-B and
  QQP), then the nine tasks. 80.5 is BERT Large's, as the paper's abstract says.
- Table 1's of the paper (Devlin et al. 2019): without WNLI; one figure a task (F1 for MRPC and QQP, Spearman for
  STS-B), but MNLI's two accuracies count as two, so nine numbers. 82.1 is BERT Large's, 79.6 BERT Base's.

`results` are figures by task and name: {"mrpc": {"f1": 89.3, "accuracy": 85.4}, ...}, all in percent or all as shares.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError
from .value import UNDEFINED, Value, mean

Results = Mapping[str, Mapping[str, float]]

TASKS: dict[str, tuple[str, ...]] = {
    "cola": ("matthews",),
    "sst-2": ("accuracy",),
    "mrpc": ("f1", "accuracy"),
    "sts-b": ("pearson", "spearman"),
    "qqp": ("f1", "accuracy"),
    "mnli": ("accuracy", "accuracy_mismatched"),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
}
"""Task -> its published figures, in the leaderboard's order."""

TABLE_1: dict[str, tuple[str, ...]] = {
    **{task: names for task, names in TASKS.items() if task != "wnli"},
    "mrpc": ("f1",),
    "sts-b": ("spearman",),
    "qqp": ("f1",),
}
"""Task -> the figures of it that Table 1 shows."""


def leaderboard_average(results: Results) -> Value:
    """The mean over the nine tasks of each task's mean. Raises `InputError` that names what is missing; undefined if
    one of the figures is NaN."""
    return _average([float(np.mean(numbers)) for numbers in _figures(results, TASKS)])


def table_1_average(results: Results) -> Value:
    """The mean of the nine numbers of Table 1. Raises `InputError` that names what is missing; undefined if one of the
    figures is NaN."""
    return _average([number for numbers in _figures(results, TABLE_1) for number in numbers])


def _figures(results: Results, wanted: Mapping[str, Sequence[str]]) -> list[list[float]]:
    missing = [
        f"{task} ({', '.join(absent)})" if task in results else task
        for task, names in wanted.items()
        if (absent := [name for name in names if name not in results.get(task, {})])
    ]
    if missing:
        raise InputError(f"GLUE's average needs all its tasks; missing: {', '.join(missing)}")
    return [[float(results[task][name]) for name in names] for task, names in wanted.items()]


def _average(numbers: list[float]) -> Value:
    return UNDEFINED if np.isnan(numbers).any() else mean(np.array(numbers))
