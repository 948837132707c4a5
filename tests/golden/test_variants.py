"""The goldens of RoBERTa, DistilBERT and ALBERT, and bertref held to them: every probe, every gradient."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import golden
from bertref.config import Numerics
from bertref.errors import InputError
from bertref.golden.generate.variants import GOLDENS
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.probes import Recorder
from bertref.topology import probe_names

from .test_models import LAYOUTS, Model, defined, ops, send

__all__ = ["ops"]


@pytest.fixture(scope="module", params=list(GOLDENS))
def model(request: pytest.FixtureRequest) -> Model:
    name = f"model/{request.param}"
    return Model(name, golden.load(name), golden.details(name))


def check(model: Model, ops: OpSet, settings: Settings, *, packed: bool = False) -> None:
    batch, recorder = model.batch(), Recorder()
    objective = PretrainingObjective(next_sentence=model.details["next_sentence"])
    params = send(ops, model.under("parameter/"))
    _, grads = losses_and_gradients(objective, ops, params, batch, settings, packed=packed, recorder=recorder)
    kind = "pretraining" if objective.next_sentence else "masked_lm"
    found, expected = recorder.to_numpy(ops.xp), model.under("probe/")
    assert set(expected) == set(probe_names(settings.config, (kind,), kind))
    for name, wanted in expected.items():
        used = np.broadcast_to(defined(batch, wanted, packed, name.startswith("mlm.")), wanted.shape)
        model.close(name, np.where(used, found[name], 0.0), np.where(used, wanted, 0.0))
        wanted = model.arrays[f"grad:{name}"]
        model.close(f"grad:{name}", np.where(used, found[f"grad:{name}"], 0.0), np.where(used, wanted, 0.0))
    assert set(grads) == set(params)
    for name, grad in grads.items():
        full = f"grad:{name}"
        scale = model.arrays[model.details["gauge"].get(full, full)]
        model.close(full, ops.xp.to_numpy(grad), model.arrays[full], scale)


@LAYOUTS
def test_probes_and_gradients(model: Model, ops: OpSet, packed: bool) -> None:
    if packed and not model.batch().attention_mask[:, 0].all():
        with pytest.raises(InputError, match="does not start with a token"):
            check(model, ops, settings_of(model), packed=True)
    else:
        check(model, ops, settings_of(model), packed=packed)


def settings_of(model: Model) -> Settings:
    """Hugging Face's dialect with the golden's choices."""
    return model.settings_in(Numerics.preset("huggingface"))


@pytest.mark.parametrize("change", [{"gelu": None}, {"layer_norm_eps": 1e-3}], ids=str)
def test_another_dialect_is_rejected(model: Model, ops: OpSet, change: dict[str, Any]) -> None:
    settings = settings_of(model)
    other = {"gelu": {"erf": "tanh", "tanh": "erf"}[settings.numerics.gelu]} if "gelu" in change else change
    with pytest.raises(AssertionError):
        check(model, ops, replace(settings, numerics=replace(settings.numerics, **other)))


def test_another_padding_id_is_rejected(ops: OpSet) -> None:
    """Positions are counted from it."""
    held = Model("model/roberta", golden.load("model/roberta"), golden.details("model/roberta"))
    settings = settings_of(held)
    with pytest.raises(AssertionError):
        check(held, ops, replace(settings, config=replace(settings.config, pad_token_id=0)))


def test_weights_and_batch_are_rich(model: Model) -> None:
    for name, p in model.under("parameter/").items():
        assert np.abs(p - (1.0 if name.endswith("LayerNorm.weight") else 0.0)).min() > 0, name
        assert p.size < 20 or p.std() > 0.1, name
    batch, albert = model.batch(), model.name == "model/albert"
    assert sorted(batch.masked_lm_weights.sum(1).tolist()) == [0, 1, 2, 3]
    assert len(set(batch.attention_mask.sum(1).tolist())) == 4
    assert (batch.attention_mask[:, 0] == 0).any() != albert, "padding in front"
    assert batch.token_type_ids.any() == albert
    assert len(set(batch.next_sentence_label.tolist())) == 2


def test_files_are_small() -> None:
    assert sum(golden.entry(f"model/{variant}").path.stat().st_size for variant in GOLDENS) < 400e3
