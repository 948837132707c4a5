"""The variants of the network against transformers: what they compute, and how they learn."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertref import backends, model, objectives
from bertref.checkpoint.load import describe
from bertref.checkpoint.names import from_huggingface
from bertref.checkpoint.naming import naming_of_tensors
from bertref.checkpoint.sources import open_source
from bertref.checkpoint.weights import LoadedWeights, read_weights
from bertref.config import BertConfig, Numerics, config_from_dict, config_to_dict, named_config
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.dropout import POOLER_SITE
from bertref.heads import parameter_shapes
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.layout import Inputs, inputs
from bertref.onnx_export.answers import answers
from bertref.opset import OpSet
from bertref.params import count
from bertref.precision import cast
from bertref.presets import PRESETS
from bertref.probes import Probe, Recorder
from bertref.topology import last_embedding, layer_input, rows
from bertref.train.step import dropout_of, gradients, initial_state, train_step
from tests.model_cases import error, ragged_batch
from tests.objectives import fine_tuning
from tests.variant_cases import ALIASES, CLASSES, OWN, Batch, batch_for, network_of, small_variant


@pytest.fixture
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


NUMPY = OpSet(backends.get("numpy"))


def loaded(network: Any, folder: Path) -> tuple[Settings, LoadedWeights]:
    """What bertref makes of the folder that transformers writes."""
    network.save_pretrained(folder)
    source = open_source(folder)
    described = describe(source, folder)
    return Settings(described.config, described.numerics), read_weights(
        source, described.config, described.architectures
    )


def inputs_of(ops: OpSet, batch: Batch, settings: Settings, *, packed: bool = False) -> Inputs:
    return inputs(ops.xp, batch.ids, batch.mask, batch.types, packed=packed, config=settings.config)


def their_answers(network: Any, batch: Batch, dtype: Any, choices: int) -> dict[str, np.ndarray]:
    """Every output of transformers'; a single one under the name that it has here."""
    with torch.no_grad():
        found = network.to(dtype)(**batch.for_torch(network, choices))
    network.double()
    return {name: value.numpy() for name, value in found.items() if isinstance(value, torch.Tensor)}


def on(ops: OpSet, weights: LoadedWeights, dtype: str = "float64") -> Any:
    """The parameters on the backend."""
    return cast(ops.xp, {name: ops.xp.from_numpy(array) for name, array in weights.params.items()}, dtype)


def our_name(output: str, kind: str) -> str:
    """What an output of transformers' is called here."""
    if kind == "ForMaskedLM" and output == "logits":
        return "prediction_logits"
    return {"sop_logits": "seq_relationship_logits"}.get(output, output)


@pytest.mark.parametrize(("name", "kind"), CLASSES)
def test_answers_are_those_of_transformers(name: str, kind: str, tmp_path: Path) -> None:
    network = network_of(name, kind)
    batch = batch_for(network)
    settings, weights = loaded(network, tmp_path)
    assert not weights.coverage.missing + weights.coverage.unused
    x = inputs_of(NUMPY, batch, settings)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-6)):
        ours = answers(NUMPY, on(NUMPY, weights, dtype), x, settings, weights.heads)
        theirs = their_answers(network, batch, getattr(torch, dtype), 2 if kind == "ForMultipleChoice" else 0)
        assert theirs
        for output, want in theirs.items():
            got = np.asarray(NUMPY.xp.to_numpy(ours[our_name(output, kind)])).reshape(want.shape)
            real = batch.mask != 0 if want.shape[:2] == batch.mask.shape else slice(None)
            assert error(got[real], want[real], np.maximum(np.abs(want[real]), 1)) < tolerance, (output, dtype)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("name", [name for name in OWN if name not in ALIASES])
def test_hidden_states_are_those_of_transformers(name: str, packed: bool, ops: OpSet, tmp_path: Path) -> None:
    network = network_of(name, "Model")
    settings, weights = loaded(network, tmp_path)
    batch = batch_for(network)
    if packed:  # which has no place for rows that begin with padding
        batch = Batch(*(array[[0, 1, 3]] for array in (batch.ids, batch.mask, batch.types)))
    x, recorder = inputs_of(ops, batch, settings, packed=packed), Recorder()
    model.forward(ops, on(ops, weights), x, settings, probe=Probe(recorder, ops.xp, x.layout))
    values = recorder.to_numpy(ops.xp)
    assert values.keys() == {row.name for row in rows(settings.config, ("pooler",) if "pooled" in values else (), None)}
    with torch.no_grad():
        theirs = network(**batch.for_torch(network), output_hidden_states=True).hidden_states
    assert len(theirs) == settings.config.num_hidden_layers + 1
    for i, want in enumerate(theirs):
        got = values[layer_input(i, last_embedding(settings.config))]
        real = batch.mask != 0
        assert error(got[real], want.numpy()[real]) < 1e-12, f"layer {i}"


# ---------------------------------------------------------------------------------------------------------------------
# training


def pretraining_batch(random: Any, config: BertConfig) -> PretrainingBatch:
    return ragged_batch(config, seed=int(random.integers(100)))


def pretraining_loss(network: Any, batch: PretrainingBatch) -> Any:
    """The mean over the predictions and, where the class has sentences, that over their labels."""
    labels = np.full(batch.input_ids.shape, -100)
    at = np.nonzero(batch.masked_lm_weights)
    labels[at[0], batch.masked_lm_positions[at]] = batch.masked_lm_ids[at]
    given = {"labels": torch.tensor(labels)}
    if type(network).__name__ == "AlbertForPreTraining":
        given["sentence_order_label"] = torch.tensor(batch.next_sentence_label).long()
    return network(**called(network, batch), **given).loss


def task_loss(network: Any, batch: Any) -> Any:
    """What the class says itself of its own labels."""
    given = fine_tuning.arguments(batch)
    return network(**called(network, batch), **{n: v for n, v in given.items() if n not in ENCODED}).loss


ENCODED = ("input_ids", "attention_mask", "token_type_ids")


def called(network: Any, batch: Any) -> dict[str, Any]:
    names = ENCODED[:2] if network.config.model_type == "distilbert" else ENCODED
    return {name: torch.tensor(getattr(batch, name)).long() for name in names}


LEARNT: dict[str, tuple[Any, Callable[..., Any], Callable[..., Any]]] = {
    "ForMaskedLM": (objectives.PretrainingObjective(next_sentence=False), pretraining_batch, pretraining_loss),
    "ForPreTraining": (objectives.PretrainingObjective(), pretraining_batch, pretraining_loss),
    **{
        task.theirs.removeprefix("Bert"): (task.objective, task.batch, task_loss)
        for name, task in fine_tuning.TASKS.items() if name not in ("regression", "multi-label")
    },
}  # fmt: skip
"""Class -> its objective, its batches, and its loss by transformers."""
LEARNING = [
    (name, kind, packed)
    for name, kind in CLASSES
    for packed in (False, True)
    if kind != "Model" and name not in ("bert", *ALIASES) and (packed or kind in ("ForMaskedLM", "ForMultipleChoice"))
]


NO_DROPOUT = dict.fromkeys(
    ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "qa_dropout"), 0.0
)


def fitting(batch: Any, config: BertConfig) -> Any:
    """The batch with the network's padding id, and without segments that it doesn't know."""
    ids = np.where(batch.attention_mask != 0, np.maximum(batch.input_ids, 5), config.pad_token_id)
    return replace(batch, input_ids=ids, token_type_ids=batch.token_type_ids * (config.type_vocab_size == 2))


def canonical(network: Any, config: BertConfig) -> dict[str, Any]:
    """The parameters of transformers' model by the names that they have here."""
    given = dict(network.named_parameters())
    naming = naming_of_tensors(config, given)
    found = {from_huggingface(name, naming): parameter for name, parameter in given.items()}
    return {meaning.name: parameter for meaning, parameter in found.items() if meaning}


@pytest.mark.parametrize(("name", "kind", "packed"), LEARNING)
def test_a_step_is_torch_s(name: str, kind: str, packed: bool, ops: OpSet, tmp_path: Path) -> None:
    """Loss, all gradients and all updates, clipped, by AdamW."""
    network = deepcopy(network_of(name, kind))
    settings, weights = loaded(network, tmp_path)
    config = replace(settings.config, **NO_DROPOUT)
    objective, make, loss = LEARNT[kind]
    plan = fine_tuning.recipe(objective, config, numerics=settings.numerics, packed=packed, clip_norm=0.5)
    batch = fitting(make(np.random.default_rng(7), config), config)
    batch.validate(config)
    theirs = canonical(network, config)
    assert theirs.keys() == weights.params.keys()
    (total := loss(network, batch)).backward()
    state = initial_state(ops, plan, weights.params)
    _, grads = gradients(ops, plan, state, batch)
    fine_tuning.check_gradients(ops, grads, {own: parameter.grad.numpy() for own, parameter in theirs.items()})
    assert float(torch.nn.utils.clip_grad_norm_(theirs.values(), 0.5)) > 0.5
    fine_tuning.adamw_of(theirs, plan).step()
    state, result = train_step(ops, plan, state, batch)
    assert abs(result.loss - total.item()) < 1e-10
    for own, parameter in theirs.items():
        got, before = np.asarray(ops.xp.to_numpy(state.params[own])), weights.params[own]
        assert np.abs((got - before) - (parameter.detach().numpy() - before)).max() < 1e-10, own


DROPPING = [("roberta", "ForSequenceClassification"), ("distilbert", "ForQuestionAnswering"),
            ("distilbert", "ForMultipleChoice"), ("albert", "ForPreTraining")]  # fmt: skip


def trajectory(name: str, kind: str, library: str, steps: int, *, packed: bool) -> np.ndarray:
    """Losses and the last weights of so many steps with dropout everywhere."""
    rates = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2, "classifier_dropout": 0.3}
    config = small_variant(name, **rates, **({"qa_dropout": 0.4} if name == "distilbert" else {}))
    objective, make, _ = LEARNT[kind]
    ops, labels = OpSet(backends.get(library)), 1 if kind == "ForMultipleChoice" else fine_tuning.LABELS
    params = initial_parameters(config, Numerics(), 5, heads=objective.heads, num_labels=labels, dtype="float64")
    plan = fine_tuning.recipe(objective, config, packed=packed)
    state, found = initial_state(ops, plan, params), []
    for step in range(steps):
        batch = fitting(make(np.random.default_rng(step), config), config)
        state, result = train_step(ops, plan, state, batch)
        found.append(result.loss)
    return np.concatenate([found, *(np.ravel(ops.xp.to_numpy(p)) for p in state.params.values())])


@pytest.mark.parametrize("steps", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "kind"), DROPPING)
def test_dropout_is_the_same_in_every_layout_and_library(name: str, kind: str, steps: int) -> None:
    first, second = (trajectory(name, kind, "numpy", steps, packed=packed) for packed in (False, True))
    assert np.abs(first - second).max() < 1e-9
    assert np.abs(first - trajectory(name, kind, "torch:cpu", steps, packed=True)).max() < 1e-9


HEAD_RATES = [
    ("roberta", "ForSequenceClassification", "classifier_dropout"), ("albert", "ForPreTraining", "classifier_dropout"),
    ("distilbert", "ForQuestionAnswering", "qa_dropout"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "rate"), HEAD_RATES)
def test_a_head_drops_at_its_own_rate(name: str, kind: str, rate: str, ops: OpSet) -> None:
    """Nothing else drops, and the loss is another one."""
    objective, make, _ = LEARNT[kind]
    losses = []
    for p in (0.0, 0.5):
        config = small_variant(name, **{rate: p})
        params = initial_parameters(config, Numerics(), 5, heads=objective.heads, num_labels=3, dtype="float64")
        plan = fine_tuning.recipe(objective, config)
        batch = fitting(make(np.random.default_rng(1), config), config)
        losses.append(train_step(ops, plan, initial_state(ops, plan, params), batch)[1].loss)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("kind", "drops"), [("ForSequenceClassification", True), ("ForMultipleChoice", False)])
def test_roberta_s_classifier_of_texts_drops_in_front_of_its_dense_layer(kind: str, drops: bool, ops: OpSet) -> None:
    """The pooler that its choices have does not."""
    config = small_variant("roberta", classifier_dropout=0.5)
    objective, make, _ = LEARNT[kind]
    params = initial_parameters(config, Numerics(), 5, heads=objective.heads, num_labels=3, dtype="float64")
    device = {name: ops.xp.from_numpy(array) for name, array in params.items()}
    batch, plan = fitting(make(np.random.default_rng(1), config), config), fine_tuning.recipe(objective, config)
    dropout, recorder = dropout_of(ops, plan, batch, 0), Recorder()
    assert dropout is not None
    prepared = objective.prepare(ops.xp, batch, Numerics(), packed=False, dtype="float64")
    probe = Probe(recorder, ops.xp, prepared.inputs.layout)
    objective.answer(ops, device, prepared, plan.settings, dropout, probe)
    values = recorder.to_numpy(ops.xp)
    first = values["layer.3.output"][:, 0]
    keep = ops.xp.to_numpy(replace(dropout, hidden_prob=0.5).first(POOLER_SITE, first.shape[1]))
    read = np.where(keep, 2 * first, 0) if drops else first
    weight, bias = (params[f"bert.pooler.dense.{part}"] for part in ("weight", "bias"))
    assert error(values["pooled_pre"], read @ weight.T + bias) < 1e-12


# ---------------------------------------------------------------------------------------------------------------------
# sizes

PUBLISHED = {"distilbert-base": 66_362_880, "roberta-base": 124_645_632, "albert-base": 11_683_584}
"""What is said of the encoders, with their poolers where they have one."""


@pytest.mark.parametrize("name", [name for name in PRESETS if "-" in name])
def test_a_preset_has_the_published_number_of_parameters(name: str) -> None:
    config, numerics = named_config(name, Numerics())
    values = config_to_dict(config, numerics, "BertModel")
    their = getattr(transformers, values["architectures"][0].replace("Model", "Config"))
    with torch.device("meta"):
        network = getattr(transformers, values["architectures"][0])(their.from_dict(values))
    pooler = ("pooler",) if config.variant.pooled_by == "tanh" else ()
    found = count(parameter_shapes(config, pooler))
    assert found == sum(parameter.numel() for parameter in network.parameters())
    assert PUBLISHED.get(name, found) == found
    assert config_from_dict(values) == (config, numerics)
