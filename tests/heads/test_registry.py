"""The records of the heads: what they say agrees with transformers, and a head from outside is one of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from safetensors.numpy import save_file

from bertref import backends
from bertref.checkpoint import load_model
from bertref.checkpoint.info import model_info
from bertref.checkpoint.names import from_huggingface, from_tensorflow, to_tensorflow
from bertref.checkpoint.plan import class_of
from bertref.config import Numerics
from bertref.errors import CheckpointError, InputError
from bertref.heads import (
    COMBINATIONS,
    HEADS,
    Head,
    Use,
    architecture_of,
    architectures,
    canonical_number,
    expanded,
    labelled,
    parameter_shapes,
    sharing,
    tasks,
    with_pooler,
)
from bertref.inference.loaded import no_head
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.layout import inputs
from bertref.onnx_export.answers import answers
from bertref.opset import OpSet
from bertref.row import Parameter, TensorRow
from bertref.topology import rows
from tests.inference.saved import make
from tests.model_cases import small_config


def test_records_are_found_by_their_names() -> None:
    assert all(name == head.name for name, head in HEADS.items())
    assert len({head.task for head in HEADS.values()}) == len(HEADS)
    assert not HEADS.keys() & COMBINATIONS.keys()


@pytest.mark.parametrize("name", HEADS)
def test_the_architecture_is_transformers_class_with_these_parameters(name: str) -> None:
    head = HEADS[name]
    for architecture in head.architectures:
        theirs = getattr(transformers, architecture)(transformers.BertConfig(num_hidden_layers=1, num_labels=3))
        own = {key for key in theirs.state_dict() if not key.startswith("bert.")} - {
            "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
        }  # fmt: skip
        assert own == set(head.parameters)
        assert head.pooler == (theirs.bert.pooler is not None)


def test_names_of_heads_are_expanded_once_and_in_order() -> None:
    assert [head.name for head in expanded(("question_answering", "pretraining", "masked_lm"))] == [
        "question_answering", "masked_lm", "next_sentence",
    ]  # fmt: skip
    assert expanded(("pooler",)) == ()
    assert with_pooler(("pooler",))
    assert not with_pooler(("masked_lm",))
    with pytest.raises(InputError, match=r"there are masked_lm, .*pretraining, pooler"):
        expanded(("nonsense",))


def test_architectures_lead_there_and_back() -> None:
    for name, heads in architectures().items():
        assert architecture_of(heads) == name
    assert class_of(()) == "BertModel"
    assert architecture_of(("next_sentence", "masked_lm")) == "BertForPreTraining"
    with pytest.raises(CheckpointError, match="no class of Hugging Face's"):
        class_of(("next_sentence", "question_answering"))
    assert class_of(("masked_lm", "question_answering")) == "BertForQuestionAnswering"


def test_heads_of_one_name_are_known_as_rivals() -> None:
    assert {head.name for head in sharing(HEADS["token_classification"])} == {
        "sequence_classification", "multiple_choice", "token_classification",
    }  # fmt: skip
    assert labelled(("masked_lm", "multiple_choice")) == "classifier.weight"
    assert labelled(("pretraining",)) is None


# ---------------------------------------------------------------------------------------------------------------------
# a head from outside the package


def _forward(ops: OpSet, params: dict[str, Any], pooled: Any, probe: Any = None) -> Any:
    return ops.dense.forward(pooled, params["score.weight"])


def _backward(ops: OpSet, dlogits: Any, cache: Any, probe: Any = None) -> Any:
    found = ops.dense.backward(dlogits, cache)
    return found.x, {"score.weight": found.weight}


def _answer(
    ops: OpSet, params: dict[str, Any], pooled: Any, settings: Any, layout: Any, probe: Any = None
) -> dict[str, Any]:
    return {"scores": _forward(ops, params, pooled)[0]}


SCORE = Head(
    name="score",
    parameters={"score.weight": ("labels", "H")},
    architectures=("BertForScores",),
    pooler=True,
    task="scoring",
    use=Use("score texts", '"A fine film."'),
    outputs=("scores",),
    forward=_forward,
    backward=_backward,
    answer=_answer,
    rows=(TensorRow("s", "dense", ("pooled",), (Parameter("score.weight", "s"),), "B labels", "rows", "s", ()),),
    labelled="score.weight",
)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Head:
    monkeypatch.setitem(HEADS, SCORE.name, SCORE)
    return SCORE


@pytest.mark.usefixtures("outside")
def test_a_head_from_outside_has_parameters_and_numbers_of_its_own() -> None:
    config = small_config()
    assert parameter_shapes(config, ("score",), num_labels=4)["score.weight"] == (4, config.hidden_size)
    assert canonical_number("score.weight") == canonical_number("qa_outputs.bias") + 1
    weights = initial_parameters(config, Numerics(), 1, heads=("score",))
    assert weights["score.weight"].std() > 0
    assert "bert.pooler.dense.weight" in weights
    assert [row.name for row in rows(config, ("score",), None)][-3:] == ["pooled_pre", "pooled", "s"]


@pytest.mark.usefixtures("outside")
def test_a_head_from_outside_answers() -> None:
    config, ops = small_config(), OpSet(backends.get("numpy"), kernels=False)
    params = {n: ops.xp.from_numpy(a) for n, a in initial_parameters(config, Numerics(), 1, heads=("score",)).items()}
    ids = np.array([[5, 6, 7]])
    x = inputs(ops.xp, ids, np.ones_like(ids), np.zeros_like(ids))
    found = answers(ops, params, x, Settings(config, Numerics()), ("score",))
    np.testing.assert_array_equal(found["scores"], found["pooler_output"] @ params["score.weight"].T)
    with pytest.raises(InputError, match="logits"):
        answers(ops, params, x, Settings(config, Numerics()), ("sequence_classification", "multiple_choice"))


@pytest.mark.usefixtures("outside")
def test_a_head_from_outside_is_read_and_described(tmp_path: Path) -> None:
    make(tmp_path, "BertModel")
    described = load_model(tmp_path)
    params = {**described.params, "score.weight": np.ones((3, described.config.hidden_size), np.float32)}
    save_file(params, tmp_path / "model.safetensors", metadata={"format": "pt"})
    saved = load_model(tmp_path)
    assert (saved.heads, saved.labels) == (("score",), ("LABEL_0", "LABEL_1", "LABEL_2"))
    assert class_of(saved.heads) == "BertForScores"
    assert model_info(tmp_path)["uses"][0].startswith("score texts: bertref predict")
    assert from_huggingface("score.weight") is not None
    assert from_tensorflow(to_tensorflow("score.weight")) is not None
    assert next(iter(tasks())) == "score"
    assert no_head("fill-mask", saved.heads) == "this model has no head for fill-mask; it does scoring"


def test_without_it_its_tensors_are_strangers() -> None:
    assert from_huggingface("score.weight") is None
    with pytest.raises(KeyError):
        to_tensorflow("score.weight")
