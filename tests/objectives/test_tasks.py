"""Every task against transformers' head under torch's autograd and AdamW; and layouts, backends and chunks alike."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from bertref import backends, objectives
from bertref.config import Numerics
from bertref.layers import Settings
from bertref.objectives import classes, head_objective, losses_and_gradients, multi_label, numbers, regression, spans
from bertref.opset import OpSet
from bertref.train import step as step_module
from bertref.train.figures import evaluate
from bertref.train.step import gradients, initial_state

from .fine_tuning import TASKS, Task, check_steps, dropping, recipe, trajectory

FEW, MANY = 3, 50
STEPS = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("name", TASKS)
def test_steps_are_those_of_transformers(ops: OpSet, name: str, packed: bool, steps: int) -> None:
    check_steps(ops, TASKS[name], steps, packed=packed)


@pytest.mark.parametrize("name", TASKS)
def test_with_dropout_backends_layouts_and_chunks_agree(name: str) -> None:
    task = TASKS[name]
    numpy, torch = (OpSet(backends.get(backend)) for backend in ("numpy", "torch"))
    plain = trajectory(OpSet(backends.get("numpy"), kernels=False), task, FEW)
    for other in (
        trajectory(numpy, task, FEW),
        trajectory(numpy, task, FEW, packed=True),
        trajectory(numpy, task, FEW, packed=True, chunks=3),
        trajectory(torch, task, FEW),
        trajectory(torch, task, FEW, packed=True, chunks=2),
    ):
        assert np.abs(other - plain).max() < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_with_dropout_many_steps_agree(name: str) -> None:
    numpy, torch = (OpSet(backends.get(backend)) for backend in ("numpy", "torch"))
    plain = trajectory(numpy, TASKS[name], MANY)
    assert np.abs(trajectory(torch, TASKS[name], MANY, packed=True) - plain).max() < 1e-10


def first_loss(ops: OpSet, task: Task, **rates: float) -> float:
    """The loss of the first step with these rates of dropout."""
    plan = recipe(task.objective, replace(task.config, **rates))
    outcome, _ = gradients(ops, plan, initial_state(ops, plan, task.params()), next(task.batches(1)))
    return float(ops.xp.to_numpy(outcome.losses["total"]))


@pytest.mark.parametrize("name", [name for name in TASKS if name != "question-answering"])
def test_the_classifier_drops_at_its_own_rate(ops: OpSet, name: str) -> None:
    """With no other dropout, only `classifier_dropout` makes a difference."""
    loss = partial(first_loss, ops, TASKS[name])

    assert loss(classifier_dropout=0.5) != loss()
    assert loss(classifier_dropout=0.5) != loss(classifier_dropout=0.25)
    assert loss(classifier_dropout=0.0) == loss()
    assert loss(hidden_dropout_prob=0.2) != loss(hidden_dropout_prob=0.2, classifier_dropout=0.0)
    assert loss(hidden_dropout_prob=0.2) == loss(hidden_dropout_prob=0.2, classifier_dropout=0.2)


def test_spans_have_no_dropout_of_their_own(ops: OpSet) -> None:
    task = TASKS["question-answering"]
    assert first_loss(ops, task, classifier_dropout=0.5) == first_loss(ops, task)


@pytest.mark.parametrize("name", TASKS)
def test_figures_and_losses_of_chunks_add_up(ops: OpSet, name: str) -> None:
    task = TASKS[name]
    batch, settings = next(task.batches(1)), Settings(task.config, Numerics())
    params = {key: ops.xp.from_numpy(array) for key, array in task.params().items()}
    whole, _ = losses_and_gradients(task.objective, ops, params, batch, settings, figures=True)
    found = evaluate(ops, task.objective, params, [batch[:2], batch[2:]], settings, packed=True)
    assert found["loss"] == pytest.approx(float(ops.xp.to_numpy(whole.losses["total"])), rel=1e-12)
    for figure, (total, weight) in whole.figures.items():
        assert found[figure] == pytest.approx(float(total) / float(weight), rel=1e-12), figure


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_in_which_nothing_counts_has_loss_0(ops: OpSet, name: str) -> None:
    task = TASKS[name]
    batch = next(task.batches(1))[:0]
    plan = recipe(task.objective, task.config)
    outcome, grads = gradients(ops, plan, initial_state(ops, plan, task.params()), batch)
    assert float(ops.xp.to_numpy(outcome.losses["total"])) == 0
    assert all(not np.any(ops.xp.to_numpy(grad)) for grad in grads.values())


# ---------------------------------------------------------------------------------------------------------------------
# twins with one fault each: `check_steps` must reject them all


def each_chunk_its_own_denominator(patch: pytest.MonkeyPatch) -> None:
    whole = step_module.losses_and_gradients
    patch.setattr(step_module, "losses_and_gradients", lambda *a, **o: whole(*a, **{**o, "divide_by": None}))


def ignored_tokens_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(classes.Weighing, "weights_of", lambda self, labels: np.ones(labels.shape))


def answers_outside_count(patch: pytest.MonkeyPatch) -> None:
    whole = spans.SpanObjective.targets

    def fault(*a: Any) -> Any:
        found = whole(*a)
        return replace(found, weights=found.weights * 0 + 1)

    patch.setattr(spans.SpanObjective, "targets", fault)


def start_and_end_exchanged(patch: pytest.MonkeyPatch) -> None:
    whole = spans.column
    patch.setattr(spans, "column", lambda xp, both, number: whole(xp, both, 1 - number))


def without_the_gradient_of_the_head(patch: pytest.MonkeyPatch) -> None:
    whole = head_objective.HeadObjective.answer_backward

    def fault(self: Any, ops: OpSet, *a: Any) -> Any:
        grads = whole(self, ops, *a)
        return {n: ops.xp.zeros_like(g) if not n.startswith("bert.") else g for n, g in grads.items()}

    patch.setattr(head_objective.HeadObjective, "answer_backward", fault)


def mean_over_the_texts(patch: pytest.MonkeyPatch) -> None:
    for module in (multi_label.MultiLabelObjective, regression.RegressionObjective):
        patch.setattr(module, "count", lambda self, batch: float(len(batch)))


def numbers_of_the_next_text(patch: pytest.MonkeyPatch) -> None:
    whole = numbers.number_targets

    def fault(xp: Any, batch: Any, *a: Any) -> Any:
        return whole(xp, replace(batch, labels=np.roll(batch.labels, 1, axis=0)), *a)

    patch.setattr(numbers, "number_targets", fault)


FAULTS = [
    *[(name, each_chunk_its_own_denominator) for name in TASKS],
    *[(name, without_the_gradient_of_the_head) for name in TASKS],
    ("token-classification", ignored_tokens_count),
    ("question-answering", answers_outside_count),
    ("question-answering", start_and_end_exchanged),
    ("multi-label", mean_over_the_texts),
    ("multi-label", numbers_of_the_next_text),
    ("regression", numbers_of_the_next_text),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_the_check_rejects_a_twin_with_a_fault(
    ops: OpSet, monkeypatch: pytest.MonkeyPatch, name: str, fault: Any
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_steps(ops, TASKS[name], 1, chunks=2)


def test_every_objective_of_a_task_is_compared() -> None:
    compared = {type(task.objective) for task in TASKS.values()}
    public = {getattr(objectives, name) for name in objectives.__all__ if name.endswith("Objective")}
    heads = {each for each in public if isinstance(each, type) and issubclass(each, objectives.HeadObjective)}
    assert compared == heads - {objectives.HeadObjective}


def test_dropout_is_on_where_it_is_compared() -> None:
    config = dropping(TASKS["classification"])
    assert config.hidden_dropout_prob
    assert config.attention_probs_dropout_prob
    assert config.classifier_dropout not in (None, config.hidden_dropout_prob)
