"""Masked words learnt from labels and a teacher: DistilBERT by BERT, against torch's losses and AdamW."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from bertref import backends
from bertref.config import BertConfig, Numerics
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.errors import InputError
from bertref.heads import parameter_shapes
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective, TaughtWordsObjective, Teacher, taught_words
from bertref.opset import OpSet
from bertref.train.figures import evaluate
from bertref.train.step import gradients, initial_state, train_step

from ..model_cases import Arrays, ragged_batch, small_config
from ..test_variants import canonical, fitting
from ..variant_cases import made, small_variant
from . import fine_tuning

T, ALPHA, BETA = 2.5, 0.7, 3.0
TEACHER = small_config(3, hidden_dropout_prob=0.1)


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def teacher_params() -> Arrays:
    random = np.random.default_rng(8)
    return {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3, shape)
        for name, shape in parameter_shapes(TEACHER, ("masked_lm",)).items()
    }


def taught(ops: OpSet, **changes: Any) -> TaughtWordsObjective:
    params = {name: ops.xp.from_numpy(array) for name, array in teacher_params().items()}
    given = {"temperature": T, "alpha": ALPHA, "hidden_weight": BETA, **changes}
    return TaughtWordsObjective(Teacher(params, Settings(TEACHER, Numerics())), **given)


def batches(config: BertConfig, count: int) -> list[PretrainingBatch]:
    return [fitting(ragged_batch(config, seed=step), config) for step in range(count)]


# ---------------------------------------------------------------------------------------------------------------------
# the same by torch


def their_teacher() -> Any:
    config = transformers.BertConfig(**TEACHER.__dict__, layer_norm_eps=1e-12, attn_implementation="eager")
    network = transformers.BertForMaskedLM(config).double().eval()
    missing = network.load_state_dict({n: torch.tensor(a) for n, a in teacher_params().items()}, strict=False)
    assert not missing.unexpected_keys
    network.tie_weights()
    return network


def their_loss(student: Any, teacher: Any, batch: PretrainingBatch, beta: float = BETA) -> torch.Tensor:
    given = {name: torch.tensor(getattr(batch, name)).long() for name in ("input_ids", "attention_mask")}
    mine = student(**given, output_hidden_states=True)
    with torch.no_grad():
        theirs = teacher(**given, output_hidden_states=True)
    at = np.nonzero(batch.masked_lm_weights)
    places = (torch.tensor(at[0]), torch.tensor(batch.masked_lm_positions[at]).long())
    hard = F.cross_entropy(mine.logits[places], torch.tensor(batch.masked_lm_ids[at]).long())
    soft = F.kl_div(torch.log_softmax(mine.logits[places] / T, -1), torch.softmax(theirs.logits[places] / T, -1),
                    reduction="batchmean") * T**2  # fmt: skip
    real = given["attention_mask"] != 0
    vectors = mine.hidden_states[-1][real], theirs.hidden_states[-1][real]
    hidden = F.cosine_embedding_loss(*vectors, torch.ones(int(real.sum()))) if beta else 0.0
    return ALPHA * soft + (1 - ALPHA) * hard + beta * hidden


def check(ops: OpSet, steps: int, *, packed: bool, chunks: int = 1, **changes: Any) -> None:
    """So many steps from the same weights: losses, the first step's gradients and all weights are torch's."""
    student, teacher = deepcopy(made("distilbert", "ForMaskedLM", num_hidden_layers=2)), their_teacher()
    config = small_variant("distilbert", num_hidden_layers=2, qa_dropout=0.0)
    theirs = canonical(student, config)
    objective = taught(ops, **changes)
    plan = fine_tuning.recipe(objective, config, packed=packed, chunks=chunks)
    assert theirs.keys() == parameter_shapes(config, objective.heads).keys()
    state = initial_state(ops, plan, {name: p.detach().numpy().copy() for name, p in theirs.items()})
    adamw = fine_tuning.adamw_of(theirs, plan)
    for step, batch in enumerate(batches(config, steps)):
        adamw.zero_grad()
        (total := their_loss(student, teacher, batch, objective.hidden_weight)).backward()
        if step == 0:
            _, grads = gradients(ops, plan, state, batch)
            fine_tuning.check_gradients(ops, grads, {name: p.grad.numpy() for name, p in theirs.items()})
        torch.nn.utils.clip_grad_norm_(theirs.values(), fine_tuning.CLIP)
        adamw.step()
        state, result = train_step(ops, plan, state, batch)
        assert abs(result.loss - total.item()) < 1e-10, step
        for name, p in theirs.items():
            assert np.abs(np.asarray(ops.xp.to_numpy(state.params[name])) - p.detach().numpy()).max() < 1e-10, name


@pytest.mark.parametrize("steps", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("packed", "chunks", "weight"), [(False, 1, BETA), (True, 3, BETA), (False, 2, 0.0)])
def test_steps_are_those_of_torch(ops: OpSet, packed: bool, chunks: int, weight: float, steps: int) -> None:
    check(ops, steps, packed=packed, chunks=chunks, hidden_weight=weight)


def test_with_dropout_backends_and_layouts_agree() -> None:
    config = small_variant("distilbert", num_hidden_layers=2, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2)
    found = []
    for library, packed in (("numpy", False), ("numpy", True), ("torch", False), ("torch", True)):
        ops = OpSet(backends.get(library))
        objective = taught(ops)
        plan = fine_tuning.recipe(objective, config, packed=packed)
        state = initial_state(ops, plan, initial_parameters(config, Numerics(), 5, heads=objective.heads,
                                                            dtype="float64"))  # fmt: skip
        losses = []
        for batch in batches(config, 3):
            state, result = train_step(ops, plan, state, batch)
            losses.append(result.loss)
        found.append(np.concatenate([losses, *(np.ravel(ops.xp.to_numpy(p)) for p in state.params.values())]))
    for other in found[1:]:
        assert np.abs(other - found[0]).max() < 1e-10


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(ops: OpSet) -> None:
    config = replace(TEACHER, hidden_dropout_prob=0.0)
    plan = fine_tuning.recipe(taught(ops, alpha=1.0), config)
    (batch,) = batches(config, 1)
    outcome, grads = gradients(ops, plan, initial_state(ops, plan, teacher_params()), batch)
    assert set(outcome.losses) == {"mlm", "soft", "hidden", "total"}
    for name in ("soft", "hidden", "total"):
        assert abs(float(ops.xp.to_numpy(outcome.losses[name]))) < 1e-12
    assert max(np.abs(np.asarray(ops.xp.to_numpy(grad))).max() for grad in grads.values()) < 1e-12


def test_figures_are_those_of_the_words(ops: OpSet) -> None:
    config = small_variant("distilbert", num_hidden_layers=2)
    params = initial_parameters(config, Numerics(), 5, heads=("masked_lm",), dtype="float64")
    on_device = {name: ops.xp.from_numpy(array) for name, array in params.items()}
    settings = Settings(config, Numerics())
    ours, plain = (
        evaluate(ops, objective, on_device, batches(config, 2), settings)
        for objective in (taught(ops), PretrainingObjective(next_sentence=False))
    )
    assert ours == pytest.approx(plain, rel=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# twins with one fault each: the check must reject them all


def without(op: str) -> Any:
    def fault(patch: pytest.MonkeyPatch, ops: OpSet) -> None:
        bound = getattr(ops, op)
        whole = type(bound).backward
        patch.setattr(type(bound), "backward", lambda self, dy, run, **options: (
            whole(self, 0 * dy if self.name == op else dy, run, **options)))  # fmt: skip

    return fault


def padding_is_imitated(patch: pytest.MonkeyPatch, ops: OpSet) -> None:
    patch.setattr(taught_words, "real_rows", lambda batch, layout: np.ones(batch.input_ids.size, bool))


def the_teacher_is_read_at_other_places(patch: pytest.MonkeyPatch, ops: OpSet) -> None:
    whole = Teacher.words
    patch.setattr(Teacher, "words", lambda self, ops, sequence, positions: whole(self, ops, sequence, positions * 0))


@pytest.mark.parametrize("fault", [without("kl_divergence"), without("cross_entropy"), without("cosine"),
                                   padding_is_imitated, the_teacher_is_read_at_other_places])  # fmt: skip
def test_the_check_rejects_a_twin_with_a_fault(ops: OpSet, monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    fault(monkeypatch, ops)
    with pytest.raises(AssertionError):
        check(ops, 1, packed=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"temperature": 0.0}, "the temperature is 0.0"), ({"alpha": -0.5}, "the soft loss's share is -0.5"),
     ({"hidden_weight": float("inf")}, "the weight of hidden vectors is inf")],
)  # fmt: skip
def test_settings_without_a_meaning_are_refused(ops: OpSet, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        taught(ops, **settings)
    with pytest.raises(InputError, match="cosine compares equal widths"):
        taught(ops).extra_parameters(small_config(hidden_size=30))
    assert taught(ops, hidden_weight=0.0).extra_parameters(small_config(hidden_size=30)) == {}
