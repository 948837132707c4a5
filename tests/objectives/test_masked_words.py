"""Masked words alone: Hugging Face's `BertForMaskedLM` in losses and gradients, without pooler and next sentences."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertref import backends
from bertref.heads import parameter_shapes
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.objectives import TOTAL, PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.probes import Recorder

from .. import model_cases as cases
from ..model_cases import Case, case, error

OBJECTIVE = PretrainingObjective(next_sentence=False)


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def run(c: Case, ops: OpSet, **options: Any) -> tuple[Any, dict[str, Any]]:
    params = {name: ops.xp.from_numpy(c.params[name]) for name in parameter_shapes(c.config, OBJECTIVE.heads)}
    settings = Settings(c.config, c.numerics)
    return losses_and_gradients(OBJECTIVE, ops, params, c.batch, settings, figures=True, **options)


def theirs(c: Case) -> Any:
    config = transformers.BertConfig(**{**c.config.__dict__, "layer_norm_eps": c.numerics.layer_norm_eps})
    config._attn_implementation = "eager"
    model = transformers.BertForMaskedLM(config).double().eval()
    own = {n: torch.tensor(c.params[n]) for n in parameter_shapes(c.config, OBJECTIVE.heads)}
    loaded = model.load_state_dict(own, strict=False)
    assert not loaded.unexpected_keys
    assert all("decoder" in name for name in loaded.missing_keys)
    model.tie_weights()
    return model


@pytest.mark.parametrize("packed", [False, True])
def test_losses_and_every_gradient_are_those_of_transformers(ops: OpSet, packed: bool) -> None:
    c = case(layers=3)
    model, arguments = theirs(c), cases.transformers_arguments(c.batch)
    del arguments["next_sentence_label"]
    out = model(**arguments)
    out.loss.backward()
    outcome, grads = run(c, ops, packed=packed)
    assert set(outcome.losses) == {"mlm", TOTAL}
    assert abs(float(ops.xp.to_numpy(outcome.losses[TOTAL])) - out.loss.item()) < 1e-12
    want = {name: p.grad.numpy() for name, p in model.named_parameters()}
    assert set(grads) == set(want) == set(parameter_shapes(c.config, OBJECTIVE.heads))
    for name, grad in grads.items():
        assert error(np.asarray(ops.xp.to_numpy(grad)), want[name], want[cases.scale_of(name)]) < 1e-10, name


def test_nothing_of_the_other_head_is_left(ops: OpSet) -> None:
    recorder = Recorder()
    outcome, grads = run(case(), ops, recorder=recorder)
    assert list(outcome.figures) == ["masked_lm_accuracy", "masked_lm_loss"]
    assert not [name for name in (*grads, *recorder.values) if "pool" in name or "nsp" in name or "seq_rel" in name]


def test_shared_parameters_start_as_with_both_heads() -> None:
    c = case()
    both = initial_parameters(c.config, c.numerics, 3, heads=PretrainingObjective().heads)
    alone = initial_parameters(c.config, c.numerics, 3, heads=OBJECTIVE.heads)
    assert set(both) - set(alone) == {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "cls.seq_relationship.weight", "cls.seq_relationship.bias"
    }  # fmt: skip
    assert all(alone[name].tobytes() == both[name].tobytes() for name in alone)
