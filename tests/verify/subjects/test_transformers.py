"""Hugging Face's model as a subject: a stock one, somebody's own, in every state that it may be in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertref.config import Numerics
from bertref.errors import InputError
from bertref.verify.cases.case import generate, generate_for
from bertref.verify.judgement.reference import answer_names
from bertref.verify.subject import BringsWeights
from bertref.verify.subjects import torch_model
from bertref.verify.subjects.transformers import TransformersSubject

from .compare import errors, worst

CASE = generate(41)
ATTENTION = {f"{grad}layer.{i}.{name}" for grad in ("", "grad:") for i in range(2) for name in ("scores", "probs")}


def own_model(kind: str = "BertForPreTraining", **changes: Any) -> Any:
    """A user's model, with weights of its own, of the case's architecture."""
    torch.manual_seed(0)
    config = torch_model.huggingface_config(CASE.config, CASE.numerics)
    for name, value in changes.items():
        setattr(config, name, value)
    return getattr(transformers, kind)(config).eval()


def test_eager_shows_every_answer() -> None:
    answers = TransformersSubject(dtype="float64").answer(CASE)
    assert set(answers.values) == set(answer_names(CASE))
    assert worst(CASE, answers.values) < 1e-9
    assert answers.notes == ()


def test_sdpa_shows_all_but_its_inside() -> None:
    answers = TransformersSubject(attention="sdpa", dtype="float64").answer(CASE)
    assert set(answers.values) == set(answer_names(CASE)) - ATTENTION
    assert worst(CASE, answers.values) < 1e-9
    assert "attention=eager" in answers.notes[0]


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"dtype": "float16"}, {"autocast": "bfloat16"}])
def test_half_precision(options: dict[str, str]) -> None:
    answers = TransformersSubject(**options).answer(CASE)
    assert set(answers.values) == set(answer_names(CASE))
    assert 1e-4 < worst(CASE, answers.values) < 0.5


def test_only_what_is_wanted() -> None:
    subject = TransformersSubject()
    assert set(subject.answer(CASE, {"pooled", "layer.0.probs"}).values) == {"pooled", "layer.0.probs"}
    assert set(subject.answer(CASE, ["grad:embeddings.position"]).values) == {"grad:embeddings.position"}


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"dialect": "google"}, "adds 1e-05 to the denominator"),
        ({"optimizer": "lamb"}, "torch has no optimiser like 'lamb'"),
        ({"hidden_act": "relu"}, ""),
        ({"numerics": {"gelu": "tanh"}}, ""),
        ({"numerics": {"clip_epsilon": 0.0}}, "clipping adds 1e-06"),
    ],
)
def test_other_dialects(options: dict[str, Any], note: str) -> None:
    case = generate(42, **options)
    answers = TransformersSubject(dtype="float64").answer(case)
    assert worst(case, answers.values) < 1e-9
    assert note in " ".join(answers.notes)
    has_update = any(name.startswith("update:") for name in answers.values)
    assert has_update == ("optimiser" not in note and "clipping" not in note and options.get("dialect") != "google")


def test_a_batch_without_predictions() -> None:
    batch = CASE.batch
    none = type(batch)(**{**dict(batch.items()), "masked_lm_weights": np.zeros_like(batch.masked_lm_weights)})
    case = type(CASE)(**{**CASE.__dict__, "batch": none, "optimizer": None})
    answers = TransformersSubject(dtype="float64").answer(case, {"loss.mlm", "loss.total", "grad:pooled"})
    assert answers.values["loss.mlm"] == 0
    assert "there is no prediction" in answers.notes[0]


# ---------------------------------------------------------------------------------------------------------------------
# the user's own model


def state(model: Any) -> dict[str, Any]:
    hooks = {name: (len(m._forward_hooks), len(m._forward_pre_hooks), m.training) for name, m in model.named_modules()}
    kept = {
        name: (p.detach().clone(), p.grad, p.requires_grad, (p.dtype, p.data_ptr()))
        for name, p in model.named_parameters()
    }
    return {"hooks": hooks, "parameters": kept}


@pytest.mark.parametrize("options", [{}, {"dtype": "float64"}, {"autocast": "bfloat16"}])
def test_it_is_left_as_it_was(options: dict[str, str]) -> None:
    model = own_model()
    frozen = model.bert.pooler.dense.weight.requires_grad_(False)
    model.bert.pooler.dense.bias.grad = torch.ones_like(model.bert.pooler.dense.bias)
    before = state(model)
    answers = TransformersSubject(model, **options).answer(CASE)
    after = state(model)
    assert before["hooks"] == after["hooks"]
    for name, (value, grad, needs, dtype) in before["parameters"].items():
        new = after["parameters"][name]
        assert torch.equal(value, new[0]), name
        assert grad is new[1] or torch.equal(grad, new[1])
        assert (needs, dtype) == (new[2], new[3])
    assert not frozen.requires_grad
    assert np.abs(answers.values["grad:bert.pooler.dense.weight"]).max() > 0, "frozen ones are looked at, too"


def test_a_patch_that_refers_to_the_model_survives_a_change_of_type() -> None:
    model = own_model()
    dense = model.bert.pooler.dense
    model.bert.pooler.forward = lambda x: 2 * torch.tanh(dense(x[:, 0]))
    answers = TransformersSubject(model, dtype="float64").answer(CASE)
    wrong = errors(CASE, answers.values)
    assert wrong["pooled_pre"] < 1e-12
    assert wrong["pooled"] == pytest.approx(1.0)


def test_the_case_is_not_written_to() -> None:
    before = {name: array.copy() for name, array in CASE.params.items()}
    TransformersSubject(dtype="float64").answer(CASE)
    assert CASE.optimizer is not None
    assert all(np.array_equal(before[name], array) for name, array in CASE.params.items())


def test_it_is_left_as_it_was_when_it_fails() -> None:
    model = own_model()
    model.bert.pooler.forward = lambda x: 1 / 0
    before = state(model)
    with pytest.raises(InputError, match="failed: ZeroDivisionError: division by zero"):
        TransformersSubject(model).answer(CASE)
    after = state(model)
    assert before["hooks"] == after["hooks"]
    assert all(torch.equal(before["parameters"][name][0], new[0]) for name, new in after["parameters"].items())


def test_it_brings_its_architecture_and_takes_any_weights() -> None:
    subject = TransformersSubject(own_model(hidden_act="gelu_new", layer_norm_eps=1e-6))
    assert isinstance(subject, BringsWeights)
    brought = subject.weights()
    assert brought is not None
    assert brought.params is None
    assert brought.numerics == Numerics(gelu="tanh", layer_norm_eps=1e-6)
    case = generate_for(brought.config, brought.numerics, 5)
    assert worst(case, subject.answer(case).values) < 1e-3
    assert TransformersSubject().weights() is None


def test_a_wrong_size_is_refused() -> None:
    subject = TransformersSubject(own_model())
    with pytest.raises(InputError, match="make the case for the model's own configuration"):
        subject.answer(generate(1, size="small"))


def test_dropout_is_reported_not_removed() -> None:
    model = own_model()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    subject = TransformersSubject(model)
    first, second = subject.answer(CASE), subject.answer(CASE)
    assert "train mode" in first.notes[0]
    assert np.array_equal(first.values["embeddings.norm"], second.values["embeddings.norm"]), "before dropout"
    assert errors(CASE, first.values)["embeddings.norm"] < 1e-6
    assert not np.array_equal(first.values["layer.0.query"], second.values["layer.0.query"])


RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob")


@pytest.mark.parametrize(
    ("rate", "configured", "said"),
    [(0.0, 0.0, ""), (0.1, 0.0, "dropout is active"), (0.1, 0.1, "dropout is active"), (0.0, 0.1, "dropout may be")],
)
def test_train_mode_is_said_where_something_is_dropped_out(rate: float, configured: float, said: str) -> None:
    model = own_model(**dict.fromkeys(RATES, configured)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = rate
    notes = [one for one in TransformersSubject(model).answer(CASE, {"embeddings.norm"}).notes if "train mode" in one]
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM"])
def test_a_model_without_all_heads_shows_its_forward_pass(kind: str) -> None:
    answers = TransformersSubject(own_model(kind)).answer(CASE)
    assert "hasn't got both heads" in answers.notes[0]
    forward = {name for name in answer_names(CASE) if ":" not in name and not name.startswith("loss.")}
    lacking = {"BertModel": ("mlm.", "nsp."), "BertForMaskedLM": ("pooled", "nsp.")}[kind]
    assert set(answers.values) == {name for name in forward if not name.startswith(lacking)}
    assert worst(CASE, answers.values) < 1e-5


def test_an_untied_decoder_is_added_and_noted() -> None:
    model = own_model()
    decoder = model.cls.predictions.decoder
    decoder.weight = torch.nn.Parameter(decoder.weight.detach().clone())
    answers = TransformersSubject(model, dtype="float64").answer(CASE)
    assert any("word_embeddings.weight is not tied" in note for note in answers.notes)
    found = errors(CASE, {name: value for name, value in answers.values.items() if not name.startswith("update:")})
    assert max(found.values()) < 1e-9, "the two gradients add up to the tied one"


def test_a_gradient_that_never_arrives_is_zero() -> None:
    model = own_model()
    pool = model.bert.pooler.forward
    model.bert.pooler.forward = lambda x: pool(x.detach())
    inner = model.cls.seq_relationship.forward
    model.cls.seq_relationship.forward = lambda x: inner(x.detach())
    answers = TransformersSubject(model).answer(CASE)
    assert not answers.values["grad:pooled_pre"].any()
    assert not answers.values["grad:bert.pooler.dense.weight"].any()
    assert any("no gradient arrived at" in note and "pooled" in note for note in answers.notes)


def test_gradient_checkpointing_changes_nothing() -> None:
    model = own_model()
    model.gradient_checkpointing_enable()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    answers = TransformersSubject(model, dtype="float64").answer(CASE)
    assert worst(CASE, answers.values) < 1e-9


def test_a_folder(tmp_path: Path) -> None:
    model = own_model()
    model.save_pretrained(tmp_path / "model")
    subject = TransformersSubject(tmp_path / "model")
    assert subject.weights() is not None
    assert worst(CASE, subject.answer(CASE).values) < 1e-3


@pytest.mark.parametrize("name", ["DebertaV2", "Electra", "Ernie", "ModernBert", "RobertaPreLayerNorm"])
def test_a_folder_of_another_network_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """transformers' BERT would open it, with new weights in place of those that it doesn't find."""
    own = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 20, "max_position_embeddings": 16}  # fmt: skip
    config = getattr(transformers, f"{name}Config")(**sizes, **own)
    getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"config.json: model_type = '{config.model_type}' is not supported"):
        TransformersSubject(tmp_path)


def test_a_model_in_half_precision_is_taken_as_it_is() -> None:
    subject = TransformersSubject(own_model().to(torch.bfloat16))
    assert subject.precision == "bfloat16"
    assert worst(CASE, subject.answer(CASE).values) < 0.5


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (torch.nn.Linear(2, 2), {}, "no BERT of Hugging Face's build"),
        (3, {}, "int is not a model, a folder or a function"),
        (None, {"dtype": "float8"}, "no dtype 'float8'"),
        (None, {"autocast": "float32"}, "autocast 'float32'"),
    ],
)
def test_what_is_refused(model: Any, options: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TransformersSubject(model, **options)


def test_another_attention_than_the_models_is_refused() -> None:
    with pytest.raises(InputError, match="the model's attention is 'eager'"):
        TransformersSubject(own_model(), attention="sdpa")


def test_an_attention_that_does_not_exist() -> None:
    with pytest.raises(InputError, match=r"attention=no_such,dtype=float32 failed: ValueError: .*no_such"):
        TransformersSubject(attention="no_such").answer(CASE)
