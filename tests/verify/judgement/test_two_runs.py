"""Gradients from another run than the values they follow: judged as two runs, and no closer than that."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.judgement.judge import compare
from bertref.verify.judgement.noise_floor import noise_floor
from bertref.verify.judgement.truth import Truth
from bertref.verify.records import TWO_RUNS, Answers, Case, Report
from bertref.verify.subjects import parse
from bertref.verify.subjects.python import PythonSubject
from tests.verify.right import SINGLES, TwoRuns

SEED = 5


@cache
def the_case() -> Case:
    return generate(SEED, edge="large-scores", optimizer=None)


@cache
def answers() -> Answers:
    return TwoRuns(SINGLES[0], SINGLES[1]).answer(the_case())


def judged(found: Answers) -> Report:
    return compare(the_case(), found, "float32")


def test_values_and_gradients_of_two_runs_are_right() -> None:
    assert judged(answers()).verdict == "right"


def test_taken_for_one_run_they_would_not_be() -> None:
    found = judged(replace(answers(), apart=frozenset()))
    assert found.first is not None
    assert found.first.startswith("grad:")


@pytest.mark.parametrize(
    "name", ["grad:layer.1.value", "grad:cls.predictions.bias", "grad:bert.encoder.layer.0.output.dense.weight"]
)
def test_a_gradient_that_is_off_by_a_thousandth_is_found(name: str) -> None:
    values = answers().values | {name: answers().values[name] * np.float32(1.001)}
    assert judged(replace(answers(), values=values)).first == name


def test_only_gradients_get_more_room() -> None:
    """Forward values are of one run, whichever that is; what is drawn for them is drawn anew."""
    truth, recorded = Truth(the_case(), "float32"), answers().values
    one, two = (noise_floor(truth, recorded, apart=frozenset(apart)) for apart in ((), ("grad",)))
    wider = {name: float(two.own[name]["all"][0] / one.own[name]["all"][0]) for name in recorded}
    assert all(0.5 < wider[name] < 2 for name in recorded if not name.startswith("grad:"))
    assert np.median([wider[name] for name in recorded if name.startswith("grad:bert.encoder")]) > 1.5


class Both:
    """Values and gradients of one call."""

    precision = "float32"

    def forward(self, case: Any) -> Any:
        return {name: value for name, value in answers().values.items() if not case["wanted"] or name in case["wanted"]}


class Apart(Both):
    def gradients(self, case: Any) -> Any:
        return {name: value for name, value in answers().values.items() if name.startswith("grad:")}


@pytest.mark.parametrize(("subject", "apart"), [(Both, set()), (Apart, {"grad"})])
def test_a_python_subject_says_by_its_methods_which_it_is(subject: Any, apart: set[str]) -> None:
    found = PythonSubject(subject()).answer(the_case())
    assert found.apart == apart
    assert (TWO_RUNS["grad"] in found.notes) == bool(apart)
    assert not any("no method gradients" in note for note in found.notes)


def test_the_report_says_so() -> None:
    """One more line, beside an update that is of a third run."""
    case = generate(SEED)
    values = parse("torch:dtype=float32,kernels=off").answer(case).values

    class Three:
        precision = "float32"

        def forward(self, case: Any) -> Any:
            return {name: value for name, value in values.items() if ":" not in name}

        def gradients(self, case: Any) -> Any:
            return {name: value for name, value in values.items() if name.startswith("grad:")}

        def update(self, case: Any) -> Any:
            return {name: value for name, value in values.items() if name.startswith("update:")}

    found = check(PythonSubject(Three()), case, repeat=False)
    assert found.verdict == "right"
    assert set(TWO_RUNS.values()) <= set(found.notes)
    assert check(PythonSubject(Three()), case, only="forward", repeat=False).notes == ()
