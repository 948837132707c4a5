"""Bias corrections in float32 are as right as those in float64; no mistake hides behind them."""

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.judgement import bias_correction
from bertref.verify.judgement.judge import compare
from bertref.verify.judgement.reference import reference
from bertref.verify.records import Answers, Arrays, Case, Report
from bertref.verify.subjects import parse
from bertref.verify.subjects.python import PythonSubject
from tests.verify.float32_adam import HABITS, updates

STEPS = (1, 7, 100, 10_000, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 1000)))


@cache
def the_case(step: int = 7, kind: str = "adamw") -> Case:
    case = generate(31, optimizer=kind)
    assert case.optimizer is not None
    return replace(case, optimizer=replace(case.optimizer, step=step))


@cache
def singles(kind: str = "adamw") -> Arrays:
    """Probes and gradients of a right float32 implementation."""
    values = reference(the_case(kind=kind), dtype="float32").values
    return {name: value for name, value in values.items() if not name.startswith("update:")}


def report(step: int, habit: str, kind: str = "adamw", change: Any = None, **wrong: Any) -> Report:
    values, case = singles(kind), the_case(step, kind)
    new = updates(case, {name: values[f"grad:{name}"] for name in case.params}, habit, **wrong)
    return compare(case, Answers(values | (change(new, case) if change else new)), "float32")


def largest(found: Report) -> float:
    return max(f.own or 0.0 for f in found.findings if f.name.startswith("update:"))


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("step", STEPS)
def test_a_correction_in_float32_is_right(step: int, habit: str) -> None:
    found = report(step, habit)
    assert found.verdict == "right", found.first
    assert largest(found) < 3


@pytest.mark.parametrize("habit", HABITS)
def test_so_is_that_of_lamb(habit: str) -> None:
    assert report(7, habit, "lamb").verdict == "right"


def test_the_reference_s_correction_alone_calls_it_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing above says anything."""
    monkeypatch.setattr(bias_correction, "candidates", lambda step: iter(()))
    assert 30 < largest(report(7, "power")) < 100


def test_what_was_judged_how_is_said_and_only_there() -> None:
    assert bias_correction.NOTE in report(7, "power").notes
    right = reference(the_case(), dtype="float32")
    assert bias_correction.NOTE not in compare(the_case(), right, "float32").notes


@pytest.mark.parametrize("habit", [HABITS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in HABITS[1:])])
@pytest.mark.parametrize(
    "wrong", [{"beta2": 0.99}, {"beta2": 0.9991}, {"beta1": 0.901}, {"epsilon": 1e-6}, {"weight_decay": 0.011}], ids=str
)
def test_a_wrong_setting_beside_it_is_found(habit: str, wrong: dict[str, float]) -> None:
    found = report(7, habit, **wrong)
    assert found.first is not None
    assert found.first.startswith("update:")


def test_a_mistake_in_one_update_is_found_there() -> None:
    """Though all the others, too, differ from the reference's by more than rounding."""
    name = "update:bert.encoder.layer.1.output.LayerNorm.weight"

    def spoilt(new: Arrays, case: Case) -> Arrays:
        return new | {name: new[name] * np.float32(1.0001)}

    found = report(7, "power", change=spoilt)
    assert found.first == name
    assert sum(f.status == "added" for f in found.findings) == 1


def test_a_mistake_in_most_updates_is_found_there_alone() -> None:
    """Biases and norms are decayed, which are the smallest updates; the correction shows in the others."""

    def spoilt(new: Arrays, case: Case) -> Arrays:
        step = case.optimizer
        assert step is not None
        excluded = [name for name in case.params if not step.optimizer.decays(name)]
        decay = np.float32(step.rate * (step.optimizer.weight_decay or 0.0))
        return new | {f"update:{n}": new[f"update:{n}"] - decay * case.params[n].astype(np.float32) for n in excluded}

    found = report(7, "power", change=spoilt)
    assert found.first == "update:bert.embeddings.LayerNorm.weight"
    assert bias_correction.NOTE in found.notes
    decays = the_case().optimizer.optimizer.decays  # type: ignore[union-attr]
    assert not [f.name for f in found.findings if f.status == "added" and decays(f.name.removeprefix("update:"))]


def test_a_step_that_is_fed_is_judged_alike() -> None:
    class Fed:
        precision = "float32"

        def forward(self, case: Any) -> Any:
            return {}

        def answer_step(self, case: Any, name: str, inputs: Arrays) -> Arrays:
            if not name.startswith("update:"):
                return {}
            return updates(the_case(), {key.removeprefix("grad:"): value for key, value in inputs.items()})

    found = check(PythonSubject(Fed()), the_case(), feed=True, repeat=False)
    [note] = [note for note in found.notes if re.search("steps fed", note)]
    assert note.endswith("all right")


def test_float64_corrects_in_float64() -> None:
    case = the_case()
    values = parse("numpy:dtype=float64,kernels=off").answer(case).values
    single = updates(case, {name: values[f"grad:{name}"] for name in case.params})
    found = compare(case, Answers(values | single), "float64")
    assert found.verdict == "diverges"
    assert bias_correction.NOTE not in found.notes
