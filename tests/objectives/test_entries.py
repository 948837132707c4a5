"""What a training step enters of an objective's module, and an objective that is brought from outside."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertref.train.step
from bertref import backends, heads, model
from bertref.heads import parameter_shapes
from bertref.layers import Settings
from bertref.layout import inputs
from bertref.objectives import TOTAL, Figure, Outcome, Prepared, PretrainingObjective, pretraining
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.train.figures import evaluate
from bertref.train.step import TrainingRecipe, initial_state, train_step

from ..data.test_batch import Labelled
from ..model_cases import Case, case, small_config


def recipe(c: Case, objective: Any, **changes: Any) -> TrainingRecipe:
    schedule = Schedule(kind="constant", peak=3e-3, steps=100)
    return TrainingRecipe(objective, Settings(c.config, c.numerics), Optimizer("adamw"), schedule, **changes)


@contextmanager
def entries(module: Any) -> Iterator[list[str]]:
    """The functions of a module that were called from elsewhere, in order."""
    found: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == module.__file__:
            caller = frame.f_back
            if caller is None or caller.f_code.co_filename != module.__file__:
                found.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("objective", [PretrainingObjective(), PretrainingObjective(next_sentence=False)], ids=str)
def test_a_step_enters_three_functions_of_its_objective(kernels: bool, objective: PretrainingObjective) -> None:
    c, ops = case(), OpSet(backends.get("numpy"), kernels=kernels)
    params = {name: c.params[name] for name in parameter_shapes(c.config, objective.heads)}
    plan = recipe(c, objective, packed=True)
    state = initial_state(ops, plan, params)
    with entries(pretraining) as found:
        train_step(ops, plan, state, c.batch)
    assert found == ["prepare", "forward", "backward"]


def test_a_step_in_chunks_asks_for_the_whole_batch_s_denominators_once() -> None:
    c, ops = case(), OpSet(backends.get("numpy"))
    plan = recipe(c, PretrainingObjective(), chunks=2)
    state = initial_state(ops, plan, c.params)
    with entries(pretraining) as found:
        train_step(ops, plan, state, c.batch)
    assert found == ["denominators", *["prepare", "forward", "backward"] * 2]


def test_the_step_and_the_loop_name_no_objective() -> None:
    folder = Path(bertref.train.step.__file__).parent
    for path in (*folder.glob("*.py"), folder.parent / "objectives" / "base.py"):
        if path.name != "__init__.py":
            words = path.read_text(encoding="utf-8").lower()
            assert not [word for word in ("mlm", "nsp", "masked", "next_sentence") if word in words], path


@dataclass(frozen=True)
class Sorting:
    """Texts into C classes, on the pooled output; the figure is the share of right ones."""

    heads: tuple[str, ...] = ("sequence_classification",)

    def denominators(self, batch: Labelled, numerics: Any) -> dict[str, float]:
        return {"class": float(len(batch)) or 1.0}

    def prepare(
        self, xp: Any, batch: Labelled, numerics: Any, *, packed: bool, dtype: str, divide_by: Any = None
    ) -> Prepared:
        x = inputs(xp, batch.input_ids, batch.attention_mask, batch.token_type_ids, packed=packed)
        whole = divide_by or self.denominators(batch, numerics)
        labels = xp.from_numpy(batch.label.astype(np.int64))
        return Prepared(x, (labels, xp.from_numpy(np.asarray(whole["class"], dtype))))

    def forward(
        self, ops: OpSet, params: Any, prepared: Prepared, settings: Settings, *, dropout: Any = None,
        probe: Any = None, figures: bool = False,
    ) -> tuple[Outcome, Any]:  # fmt: skip
        labels, denominator = prepared.targets
        encoded, encoder = model.forward(ops, params, prepared.inputs, settings, dropout=dropout, probe=probe)
        logits, head = heads.sequence_classification_forward(ops, params, encoded.pooled, dropout=dropout, probe=probe)
        loss, loss_cache = ops.cross_entropy.forward(logits, labels, None, denominator)
        right = ops.xp.astype(ops.xp.argmax(logits, axis=-1) == labels, loss.dtype)
        shown = {"accuracy": Figure(ops.xp.sum(right), ops.xp.sum(ops.xp.ones_like(right)))} if figures else {}
        return Outcome({"class": loss, TOTAL: loss}, shown), (encoder, head, loss_cache)

    def backward(self, ops: OpSet, d_total: Any, cache: Any, probe: Any = None) -> dict[str, Any]:
        encoder, head, loss_cache = cache
        dlogits = ops.cross_entropy.backward(d_total, loss_cache).logits
        d_pooled, grads = heads.sequence_classification_backward(ops, dlogits, head, probe)
        return model.backward(ops, None, d_pooled, encoder, probe) | grads


def sorted_texts(rows: int = 8) -> Labelled:
    """Texts of two kinds, told by their second word."""
    batch = Labelled.zeros(rows, {"S": 7, "C": 2})
    batch.attention_mask[:, :6] = 1
    batch.input_ids[:, :6] = np.random.default_rng(1).integers(5, 30, (rows, 6))
    batch.label[:] = np.arange(rows) % 2
    batch.input_ids[:, 1] = 31 + batch.label
    batch.example[:] = np.arange(rows)
    return batch


@pytest.mark.parametrize("changes", [{}, {"packed": True, "chunks": 2}], ids=str)
def test_an_objective_from_outside_is_trained_and_evaluated(changes: dict[str, Any]) -> None:
    """With a batch, losses and figures of its own, by the step that pre-training takes."""
    objective, config, ops = Sorting(), small_config(), OpSet(backends.get("numpy"))
    c = Case(config, case().numerics, {}, case().batch)
    random = np.random.default_rng(0)
    params = {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.1, shape)
        for name, shape in parameter_shapes(config, objective.heads).items()
    }
    plan, batch = recipe(c, objective, **changes), sorted_texts()
    state, losses = initial_state(ops, plan, params), []
    for _ in range(40):
        state, result = train_step(ops, plan, state, batch)
        losses.append(result.losses["class"])
    assert set(result.losses) == {"class", TOTAL}
    assert losses[-1] < 0.1 * losses[0]
    found = evaluate(ops, objective, state.params, [batch[:3], batch[3:]], plan.settings, packed=plan.packed)
    assert found == {"accuracy": 1.0}
