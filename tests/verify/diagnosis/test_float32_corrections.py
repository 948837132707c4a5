"""The cause of a wrong update is named beside bias corrections in float32, as most libraries compute them, too."""

from functools import cache
from typing import Any

import pytest

from bertref.verify.cases.another import another
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.families import steps
from bertref.verify.judgement.reference import reference
from bertref.verify.records import Arrays, Diagnosis
from tests.verify.float32_adam import HABITS, updates

from .applied import asked, scene_of

CASES = (asked(), another(asked(), step=True))


@cache
def singles(i: int) -> Arrays:
    """The gradients of a right float32 implementation, of a case's number."""
    values = reference(CASES[i], dtype="float32").values
    return {name: value for name, value in values.items() if name.startswith("grad:") and name[5:] in CASES[i].params}


def diagnosed(habit: str, **wrong: Any) -> Diagnosis:
    def scene(i: int) -> Any:
        gradients = {name.removeprefix("grad:"): value for name, value in singles(i).items()}
        return scene_of(CASES[i], singles(i) | updates(CASES[i], gradients, habit, **wrong))

    report, first = scene(0)
    assert report.first is not None
    assert report.first.startswith("update:")
    return diagnose(report, first, lambda kind, i: scene(1)[1])


@pytest.mark.parametrize("habit", [HABITS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in HABITS[1:3])])
@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"hat": True}, "optimizer.epsilon_hat"),
        ({"beta2": 0.99}, "optimizer.beta2"),
        ({"weight_decay": 0.0}, "optimizer.decay_missing"),
    ],
    ids=["hat", "beta2", "decay"],
)
def test_it_is_named(habit: str, wrong: dict[str, Any], cause: str) -> None:
    found = diagnosed(habit, **wrong)
    assert [one.id for one in found.causes] == [cause]
    assert not found.left


def test_with_the_reference_s_corrections_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing above says anything."""
    monkeypatch.setattr(steps, "corrected", lambda betas, step: iter(()))
    assert diagnosed("power", hat=True).outcome == "unknown"
