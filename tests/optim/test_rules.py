"""An optimiser is a record: one from outside the package trains, is saved, resumes and is judged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertref import PretrainOptions, backends, pretrain, verify
from bertref.checkpoint import training as states
from bertref.optim import PASSES, RULES, Optimizer, UpdateRule
from bertref.verify.subjects.backend import BackendSubject
from tests import small_run


def heavy_ball(xp: Any, p: Any, g: Any, m: Any, rate: Any, *, beta1: float, weight_decay: float) -> Any:
    """Polyak 1964: m' = β₁ m + g, p' = p - η (m' + λ p)."""
    m = beta1 * m + g
    return p - rate * (m + weight_decay * p), m


RULE = UpdateRule("heavy-ball", heavy_ball, ("m",), ("rate",), ("beta1", "weight_decay"))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, RULE.name, RULE)


def run(folder: Path, out: str, stop_after: int = 10**6, **changes: Any) -> dict[str, np.ndarray]:
    left = iter(range(stop_after - 1))
    options = PretrainOptions(**small_run.options(folder, out, optimizer=RULE.name, learning_rate=0.5, **changes))
    pretrain(options, should_stop=lambda: next(left, None) is None)
    last = states.latest(Path(options.out))
    assert last is not None
    return load_file(last / "model.safetensors") | load_file(last / states.MOMENTS)


def test_it_trains_and_resumes(tmp_path: Path) -> None:
    whole = run(tmp_path, "whole")
    run(tmp_path, "parts", 5)
    parts = run(tmp_path, "parts", resume=True)
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    assert {name.rpartition("/")[2] for name in whole if "/" in name} == {"m"}


@pytest.mark.parametrize("subject", ["numpy:dtype=float32", "torch:dtype=bfloat16"])
def test_its_updates_are_judged(subject: str) -> None:
    case = verify.generate(2, optimizer=RULE.name)
    assert case.optimizer is not None
    assert set(case.optimizer.moments) == {f"{name}/m" for name in case.params}
    report = verify.check(subject, case, only="update", repeat=False)
    assert report.verdict == "right"
    assert report.first is None


def test_a_wrong_update_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = verify.generate(2, optimizer=RULE.name)
    right = BackendSubject("numpy").answer(case).values
    wrong = replace(RULE, update=lambda *arrays, **settings: heavy_ball(*arrays, **{**settings, "beta1": 0.5}))
    with monkeypatch.context() as patch:
        patch.setitem(RULES, RULE.name, wrong)
        other = BackendSubject("numpy").answer(case).values
    for values, verdict in ((right, "right"), (other, "diverges")):
        report = verify.check(lambda _, found=values: found, case, only="update", repeat=False, precision="float32")
        assert report.verdict == verdict
        assert (report.diagnosis is not None) == (verdict == "diverges"), "no cause is known, and the search says so"


def test_every_rule_names_what_its_formula_takes() -> None:
    """One step of each, by `Optimizer`, from the names in its record alone."""
    xp = backends.get("numpy").xp
    params, grads = {"w": np.array([1.0, -2.0])}, {"w": np.array([0.5, -0.25])}
    for name, rule in RULES.items():
        assert rule.name == name
        settings = Optimizer(name)
        state = settings.init_state(xp, params)
        new, kept = settings.update(xp, params, grads, state, rate=0.1, step=1)
        assert (new["w"] != params["w"]).all()
        assert kept.keys() == state.keys() == {f"w/{moment}" for moment in rule.moments}
        assert name == RULE.name or PASSES[rule.update] == 2 + len(rule.moments)
