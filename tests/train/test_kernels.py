"""Training with kernels and without: the same losses within rounding, and the same bits every time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.backends.numpy import threads
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.optim.flat import Flat
from bertref.precision import Precision
from bertref.train import step as step_module
from bertref.train.step import StepResult, TrainingRecipe, initial_state, train_step

from ..model_cases import Case, case

STEPS = 4
ON, OFF = (OpSet(backends.get("numpy"), kernels=kernels) for kernels in (True, False))


def plan(c: Case, kind: str, precision: str, **changes: Any) -> TrainingRecipe:
    schedule = Schedule(kind="constant", peak=2e-3, steps=100)
    optimizer = Optimizer(kind)  # type: ignore[arg-type]
    settings = Settings(c.config, c.numerics, changes.pop("recompute", "none"))
    return TrainingRecipe(PretrainingObjective(), settings, optimizer, schedule, Precision.preset(precision), **changes)


def run(
    ops: OpSet, recipe: TrainingRecipe, c: Case, *, donate: bool = False
) -> tuple[list[StepResult], dict[str, np.ndarray]]:
    """Some steps over three batches in turn."""
    state = initial_state(ops, recipe, c.params)
    results = []
    for step in range(STEPS):
        ids = np.roll(c.batch.input_ids, step % 3, axis=0)
        state, result = train_step(ops, recipe, state, replace(c.batch, input_ids=ids), donate=donate)
        results.append(result)
    return results, state.params


@pytest.mark.parametrize("kind", ["adamw", "google", "lamb"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("gelu", ["erf", "tanh"])
def test_losses_are_the_same_within_rounding(kind: str, packed: bool, gelu: str) -> None:
    c = case(dialect="google" if kind == "google" else "huggingface", gelu=gelu,
             hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)  # fmt: skip
    for precision, rtol in (("float32", 3e-5), ("float64", 1e-12)):
        recipe = plan(c, kind, precision, packed=packed)
        (on, _), (off, _) = run(ON, recipe, c), run(OFF, recipe, c)
        for a, b in zip(on, off, strict=True):
            for name in ("total", "mlm", "nsp"):
                np.testing.assert_allclose(a.losses[name], b.losses[name], rtol=rtol, err_msg=name)
            np.testing.assert_allclose(a.gradient_norm, b.gradient_norm, rtol=rtol)
        assert on[0].loss > on[-1].loss * 1.01, "nothing was learnt, so nothing was compared"


def test_other_dropout_shows() -> None:
    """The comparison above notices another mask."""
    c = case(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    (one, _), (other, _) = (run(ON, plan(c, "adamw", "float32", seed=seed), c) for seed in (1, 2))
    assert abs(one[0].loss / other[0].loss - 1) > 1e-3


@pytest.mark.parametrize("changes", [{}, {"packed": True}, {"recompute": "attention"}, {"recompute": "layers"},
                                     {"chunks": 2}], ids=str)  # fmt: skip
def test_every_run_is_bit_equal(changes: dict[str, Any]) -> None:
    """Whatever the number of threads; and recomputing changes nothing either."""
    c = case(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    outcomes = []
    for workers in (1, 3, 3):
        with threads.using(workers):
            results, params = run(ON, plan(c, "adamw", "float32", **changes), c)
        outcomes.append((results, {name: a.tobytes() for name, a in params.items()}))
    if "recompute" in changes:
        results, params = run(ON, plan(c, "adamw", "float32"), c)
        outcomes.append((results, {name: a.tobytes() for name, a in params.items()}))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.parametrize("kind", ["adamw", "google", "lamb"])
def test_a_state_that_is_given_away_makes_the_same_run(kind: str) -> None:
    c = case()
    for ops in (ON, OFF):
        (one, params), (other, same) = (run(ops, plan(c, kind, "float32"), c, donate=d) for d in (False, True))
        assert one == other
        assert all(params[name].tobytes() == same[name].tobytes() for name in params)


def test_a_state_that_is_kept_stays_as_it_is() -> None:
    c = case()
    recipe = plan(c, "adamw", "float32")
    state = initial_state(ON, recipe, c.params)
    before = {name: a.tobytes() for name, a in (state.params | state.moments).items()}
    after, _ = train_step(ON, recipe, state, c.batch)
    assert {name: a.tobytes() for name, a in (state.params | state.moments).items()} == before
    given, _ = train_step(ON, recipe, state, c.batch, donate=True)
    assert all(given.params[name].tobytes() == after.params[name].tobytes() for name in after.params)
    assert any(np.shares_memory(given.params[name], state.params[name]) for name in state.params)


@pytest.mark.parametrize("ops", [ON, OFF], ids=["kernels", "references"])
@pytest.mark.parametrize("rates", [{}, {"cls": 0.0, "bert.embeddings": 0.5}], ids=str)
def test_parameters_in_buffers_learn_as_they_do_apart(
    monkeypatch: pytest.MonkeyPatch, ops: OpSet, rates: dict[str, float]
) -> None:
    """Bit by bit, if query, key and value are; but for the norm's last digit, and so for what is clipped."""
    c = case(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    scales = {name: rate for name in c.params for start, rate in rates.items() if name.startswith(start)}
    plans = [plan(c, "adamw", "float64", clip_norm=clip, rate_scales=scales, chunks=2) for clip in (None, 0.5)]
    laid = [run(ops, plans[1], c, donate=True)]
    monkeypatch.setattr(step_module, "with_joined", lambda xp, params: dict(params))
    laid = [run(ops, plans[0], c, donate=True), *laid]
    monkeypatch.setattr(step_module, "lays_out", lambda ops, recipe: False)
    plain = [run(ops, recipe, c, donate=True) for recipe in plans]
    for clipped, ((one, params), (other, same)) in enumerate(zip(laid, plain, strict=True)):
        assert isinstance(params, Flat)
        assert not isinstance(same, Flat)
        assert one[-1].loss == pytest.approx(other[-1].loss, rel=1e-12)
        for name, array in same.items():
            if clipped:
                np.testing.assert_allclose(params[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
            else:
                assert params[name].tobytes() == array.tobytes(), name


def test_buffers_are_written_where_they_are() -> None:
    """A step that is given its state makes neither new buffers nor new views."""
    c = case()
    recipe = plan(c, "adamw", "float32")
    state = initial_state(ON, recipe, c.params)
    after, _ = train_step(ON, recipe, state, c.batch, donate=True)
    assert after.params is state.params
    assert after.moments is state.moments


def test_kernels_do_the_work() -> None:
    """No op of a training step falls back to the reference where a kernel exists."""
    c = case(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    ops = OpSet(backends.get("numpy"))
    run(ops, plan(c, "adamw", "float32", packed=True), c)
    assert not [name for name, op in ops._ops.items() if op._fell_back]
