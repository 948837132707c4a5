"""Against the averages that the paper and its repository print."""

import re
from typing import Any

import pytest

from bertref.errors import InputError
from bertref.metrics import glue

from .oracles import undefined

LARGE: dict[str, dict[str, float]] = {
    "cola": {"matthews": 60.5},
    "sst-2": {"accuracy": 94.9},
    "mrpc": {"f1": 89.3, "accuracy": 85.4},
    "sts-b": {"pearson": 87.6, "spearman": 86.5},
    "qqp": {"f1": 72.1, "accuracy": 89.3},
    "mnli": {"accuracy": 86.7, "accuracy_mismatched": 85.9},
    "qnli": {"accuracy": 92.7},
    "rte": {"accuracy": 70.1},
    "wnli": {"accuracy": 65.1},
}
"""BERT Large on the leaderboard; Table 1 shows the same numbers."""

BASE: dict[str, dict[str, float]] = {
    "cola": {"matthews": 52.1},
    "sst-2": {"accuracy": 93.5},
    "mrpc": {"f1": 88.9},
    "sts-b": {"spearman": 85.8},
    "qqp": {"f1": 71.2},
    "mnli": {"accuracy": 84.6, "accuracy_mismatched": 83.4},
    "qnli": {"accuracy": 90.5},
    "rte": {"accuracy": 66.4},
}
"""BERT Base in Table 1."""


def test_the_leaderboards_average() -> None:
    assert round(glue.leaderboard_average(LARGE).value, 1) == 80.5


@pytest.mark.parametrize(("results", "average"), [(LARGE, 82.1), (BASE, 79.6)])
def test_the_average_of_table_1(results: Any, average: float) -> None:
    assert round(glue.table_1_average(results).value, 1) == average


def test_no_average_without_all_tasks() -> None:
    message = "missing: mrpc (accuracy), sts-b (pearson), qqp (accuracy), wnli"
    with pytest.raises(InputError, match=re.escape(message) + "$"):
        glue.leaderboard_average(BASE)
    with pytest.raises(InputError, match="missing: cola, sst-2"):
        glue.table_1_average({})


def test_undefined() -> None:
    results = {**LARGE, "cola": {"matthews": float("nan")}}
    undefined(glue.leaderboard_average(results), float("nan"))
    undefined(glue.table_1_average(results), float("nan"))
