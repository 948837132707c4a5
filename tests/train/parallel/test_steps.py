"""Steps of several processes are those of one: losses, figures, gradients, updates; and what is wrong is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.errors import TrainingDiverged
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.precision import Precision
from bertref.train import step as step_module
from bertref.train.diverged import DivergenceWatch
from bertref.train.figures import evaluate
from bertref.train.parallel.sums import Buckets
from bertref.train.parallel.world import ALONE, World
from bertref.train.step import (
    State,
    StepResult,
    TrainingRecipe,
    initial_state,
    issue_step,
    shared_out,
    train_step,
)

from ...model_cases import Case, case, ragged_batch
from .threads import ThreadWorld, together

COUNT = 3
NOISE = 1e-12
"""Beside weights of about 1: more than the moments of a key's bias, whose true gradient is 0, and less than others'."""


def recipe(c: Case, **changes: Any) -> TrainingRecipe:
    options = {
        "optimizer": Optimizer("adamw"), "schedule": Schedule(kind="constant", peak=1e-3, steps=100),
        "precision": Precision.preset("float64"), "clip_norm": 0.5, "seed": 11,
    }  # fmt: skip
    return TrainingRecipe(PretrainingObjective(), Settings(c.config, c.numerics), **{**options, **changes})


def batches(c: Case) -> list[PretrainingBatch]:
    """Of five examples, so that nothing divides them evenly; one has no predictions."""
    made = [ragged_batch(c.config, (11, 7, 3, 9, 5), seed=i) for i in range(COUNT)]
    return [replace(batch, example=batch.example + 5 * i) for i, batch in enumerate(made)]


def dropping(**changes: Any) -> Case:
    return case(layers=1, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, **changes)


def run(c: Case, plan: TrainingRecipe, backend: str = "numpy") -> tuple[State, list[StepResult]]:
    ops = OpSet(backends.get(backend))
    state, results = initial_state(ops, plan, c.params), []
    for batch in batches(c):
        state, result = train_step(ops, plan, state, batch)
        results.append(result)
    return state, results


def in_processes(
    size: int, c: Case, plan: TrainingRecipe, backend: str = "numpy"
) -> list[tuple[State, list[StepResult]]]:
    return together(size, lambda world: run(c, replace(plan, world=world), backend))


def check_runs(
    size: int, backend: str = "numpy", right: tuple[State, list[StepResult]] | None = None, **changes: Any
) -> None:
    """Processes have the losses, figures, norms, weights and moments of one, and the same bits as each other."""
    c = dropping()
    plan = recipe(c, **changes)
    xp = backends.get(backend).xp
    state, results = right or run(c, recipe(c))  # NumPy, padded, in one chunk
    found = in_processes(size, c, plan, backend)
    for other, others in found:
        for one, many in zip(results, others, strict=True):
            assert many.losses == pytest.approx(one.losses, rel=1e-10)
            assert many.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-10)
            for name, mean in many.figures.items():
                assert mean.weight == one.figures[name].weight, name
                assert mean.total == pytest.approx(one.figures[name].total, rel=1e-10), name
        for kind in ("params", "moments"):
            for name, array in getattr(other, kind).items():
                want = getattr(state, kind)[name]
                np.testing.assert_allclose(xp.to_numpy(array), want, rtol=1e-8, atol=NOISE, err_msg=name)
                assert xp.to_numpy(array).tobytes() == xp.to_numpy(getattr(found[0][0], kind)[name]).tobytes(), name


VARIANTS = [
    ("numpy", {}), ("numpy", {"packed": True}), ("numpy", {"chunks": 2}), ("numpy", {"chunks": 4, "packed": True}),
    ("torch", {"chunks": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "changes"), VARIANTS, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_make_the_steps_of_one(size: int, backend: str, changes: dict[str, Any]) -> None:
    check_runs(size, backend, **changes)


@pytest.mark.parametrize("taken", [True, False])
def test_processes_of_an_asynchronous_device_make_them_too(taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(backends.get("torch").xp), "asynchronous", True)
    monkeypatch.setattr(ThreadWorld, "takes", lambda self, array: taken or isinstance(array, np.ndarray))
    check_runs(2, "torch", chunks=2)


@pytest.mark.parametrize("sharded", [True, False])
@pytest.mark.parametrize("taken", [True, False])
def test_where_its_arrays_are_taken_no_value_is_fetched_but_what_the_step_reports(
    taken: bool, sharded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    c, ops, fetched = dropping(), OpSet(backends.get("torch")), []
    batch, namespace = batches(c)[0], type(ops.xp)
    whole = namespace.to_numpy

    def to_numpy(xp: Any, x: Any) -> Any:
        fetched.append(x.shape)
        return whole(xp, x)

    monkeypatch.setattr(namespace, "asynchronous", True)
    monkeypatch.setattr(ThreadWorld, "takes", lambda self, array: taken or isinstance(array, np.ndarray))

    def work(world: ThreadWorld) -> Any:
        plan = recipe(c, world=world)
        state = initial_state(ops, plan, c.params)
        if sharded:
            plan, state = shared_out(plan, ops.xp, state)
        world.barrier()
        if world.rank == 0:
            monkeypatch.setattr(namespace, "to_numpy", to_numpy)
        world.barrier()
        return issue_step(ops, plan, state, batch)[1]

    steps = together(2, work)
    assert (len(fetched) == len(steps)) == taken, fetched
    assert steps[0].result == steps[1].result


def own_denominators(patch: pytest.MonkeyPatch) -> None:
    whole = step_module.losses_and_gradients
    patch.setattr(step_module, "losses_and_gradients", lambda *a, **o: whole(*a, **{**o, "divide_by": None}))


def own_gradients(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Buckets, "complete", lambda self, name: None)


def own_losses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(step_module, "summed_outcome", lambda world, xp, outcome: outcome)


def everyone_the_first_share(patch: pytest.MonkeyPatch) -> None:
    whole = step_module.slices
    patch.setattr(step_module, "slices", lambda rows, count: [whole(rows, count)[0]] * count)


def examples_counted_within_the_share(patch: pytest.MonkeyPatch) -> None:
    whole = step_module.dropout_of

    def fault(ops: OpSet, plan: TrainingRecipe, batch: PretrainingBatch, step: int) -> Any:
        return whole(ops, plan, replace(batch, example=np.arange(len(batch))), step)

    patch.setattr(step_module, "dropout_of", fault)


FAULTS = [own_denominators, own_gradients, own_losses, everyone_the_first_share, examples_counted_within_the_share]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_rejects_a_twin_with_a_fault(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    right = run(dropping(), recipe(dropping()))
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_runs(2, right=right)


def test_processes_without_an_example_add_nothing() -> None:
    """The last batch of a pass over a task's data may be smaller than there are processes."""
    check_runs(7)


def test_an_overflow_in_one_share_skips_the_step_in_all() -> None:
    c = dropping()
    plan = recipe(c, precision=Precision(loss_scale="dynamic"))
    ops = OpSet(backends.get("numpy"))
    batch = batches(c)[0]
    weights = batch.masked_lm_weights.copy()
    weights[4] = np.inf  # the share of the last process

    def work(world: ThreadWorld) -> tuple[State, State, StepResult]:
        before = initial_state(ops, replace(plan, world=world), c.params)
        return before, *train_step(ops, replace(plan, world=world), before, replace(batch, masked_lm_weights=weights))

    for before, after, result in together(2, work):
        assert not result.updated
        assert after.loss_scale is not None
        assert before.loss_scale is not None
        assert after.loss_scale.scale == before.loss_scale.scale / 2
        assert after.step == 1
        assert all((after.params[name] == p).all() for name, p in before.params.items())


def test_what_went_wrong_first_is_named_in_whichever_process_it_was() -> None:
    """A word that only the last share has is finite, but the sum that its layer norm takes is not."""
    c = case(layers=1)
    ops = OpSet(backends.get("numpy"))
    batch = batches(c)[0]
    ids = batch.input_ids.copy()
    ids[4, 0] = c.config.vocab_size - 1
    params = dict(c.params)
    table = params["bert.embeddings.word_embeddings.weight"].copy()
    table[-1] = 1.7e308
    params["bert.embeddings.word_embeddings.weight"] = table

    def work(world: World) -> str:
        plan = recipe(c, world=world)
        before = initial_state(ops, plan, params)
        bad = replace(batch, input_ids=ids)
        _, result = train_step(ops, plan, before, bad)
        with pytest.raises(TrainingDiverged) as caught:
            DivergenceWatch(ops, plan, 10.0, lambda: None).look(result, before, bad)
        return str(caught.value)

    alone = work(ALONE)
    assert "embeddings.norm" in alone
    assert together(2, work) == [alone, alone]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_an_evaluation_is_shared_and_gives_the_bits_of_one(size: int) -> None:
    c = case(layers=1)
    ops = OpSet(backends.get("numpy"))
    settings = Settings(c.config, c.numerics)
    many = batches(c) + batches(c)[:1]  # four batches: one of five processes has none

    def work(world: World) -> dict[str, float]:
        return evaluate(ops, PretrainingObjective(), c.params, many, settings, world=world)

    one = evaluate(ops, PretrainingObjective(), c.params, many, settings)
    assert together(size, work) == [one] * size
    many.clear()
    assert together(size, work) == [{}] * size
