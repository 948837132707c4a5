"""The parameter table against transformers, and what the checks refuse."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import transformers

from bertref.config import BertConfig
from bertref.errors import InputError
from bertref.heads import DECODER, HEADS, canonical_number, check, parameter_shapes
from bertref.params import count, prefixed, scope

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 17,
    "type_vocab_size": 3,
}
CONFIG = BertConfig(**SIZES)


def shapes_of(kind: str, **settings: Any) -> list[tuple[str, tuple[int, ...]]]:
    model = getattr(transformers, kind)(transformers.BertConfig(**SIZES, **settings))
    prefix = "bert." if kind == "BertModel" else ""
    return [
        (prefix + name, tuple(value.shape))
        for name, value in model.state_dict().items()
        if not name.startswith("cls.predictions.decoder.")  # tied: not stored
    ]


@pytest.mark.parametrize(
    ("kind", "heads", "labels"),
    [
        ("BertForPreTraining", ("pretraining",), 2),
        ("BertForMaskedLM", ("masked_lm",), 2),
        ("BertForSequenceClassification", ("sequence_classification",), 5),
        ("BertForSequenceClassification", ("sequence_classification",), 1),
        ("BertForTokenClassification", ("token_classification",), 9),
        ("BertForQuestionAnswering", ("question_answering",), 2),
        ("BertForMultipleChoice", ("multiple_choice",), 2),
        ("BertModel", ("pooler",), 2),
    ],
)
def test_names_shapes_and_order_are_transformers(kind: str, heads: tuple[str, ...], labels: int) -> None:
    mine = parameter_shapes(CONFIG, heads, num_labels=labels)
    assert list(mine.items()) == shapes_of(kind, num_labels=labels)


def test_without_heads_only_the_encoder_is_left() -> None:
    names = parameter_shapes(CONFIG, ())
    assert len(names) == 5 + 3 * 16
    assert all(name.startswith(("bert.embeddings.", "bert.encoder.")) for name in names)


def test_heads_join_in_canonical_order_whatever_their_order() -> None:
    one = parameter_shapes(CONFIG, ("question_answering", "pretraining"))
    assert list(one) == list(parameter_shapes(CONFIG, ("pretraining", "question_answering")))
    assert set(one) - set(parameter_shapes(CONFIG)) == {"qa_outputs.weight", "qa_outputs.bias"}


@pytest.mark.parametrize(
    ("heads", "labels", "message"),
    [
        (("nonsense",), 2, "no head 'nonsense'"),
        ("pretraining", 2, "sequence of names"),
        (("sequence_classification", "multiple_choice"), 2, "different shapes"),
        (("sequence_classification",), 0, "at least one label"),
    ],
)
def test_heads_that_do_not_fit_are_refused(heads: Any, labels: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameter_shapes(CONFIG, heads, num_labels=labels)


def test_base_has_its_published_size() -> None:
    """110 million: 109,482,240 in the encoder with pooler, as transformers counts BERT-Base."""
    assert count(parameter_shapes(BertConfig(), ("pooler",))) == 109_482_240
    assert count({"a": np.zeros((3, 4)), "b": np.zeros(())}) == 13


def test_every_parameter_has_a_number_of_its_own() -> None:
    names = {name for head in HEADS for name in parameter_shapes(CONFIG, (head,))}
    numbers = [canonical_number(name) for name in names]
    assert len(set(numbers)) == len(names)


def test_numbers_are_pinned() -> None:
    """They address the streams of the initial weights: a changed number changes every new model."""
    pinned = {
        "bert.embeddings.word_embeddings.weight": 0,
        "bert.embeddings.LayerNorm.bias": 4,
        "bert.pooler.dense.weight": 5,
        "cls.predictions.transform.dense.weight": 8,
        "cls.seq_relationship.weight": 12,
        "classifier.weight": 14,
        "qa_outputs.bias": 17,
        "bert.encoder.layer.0.attention.self.query.weight": 100,
        "bert.encoder.layer.0.output.LayerNorm.bias": 115,
        "bert.encoder.layer.23.attention.self.query.weight": 100 + 23 * 16,
    }
    assert {name: canonical_number(name) for name in pinned} == pinned


@pytest.mark.parametrize(
    "name", ["", "bert.encoder.layer.00.output.dense.bias", "bert.encoder.layer.-1.output.dense.bias",
             "encoder.layer.0.output.dense.bias", "bert.encoder.layer.0.output.dense.gamma",
             "cls.predictions.decoder.weight"],
)  # fmt: skip
def test_unknown_names_have_no_number(name: str) -> None:
    with pytest.raises(InputError):
        canonical_number(name)


def test_scope_and_prefixed_are_inverse() -> None:
    params: dict[str, Any] = parameter_shapes(CONFIG)
    local = scope(params, "bert.encoder.layer.1")
    assert len(local) == 16
    assert local["attention.self.query.weight"] == (12, 12)
    assert prefixed("bert.encoder.layer.1", local).items() <= params.items()
    transform = [name for name in scope(params, "cls.predictions") if name.startswith("transform.")]
    assert len(transform) == 4
    assert scope(params, "cls.predictions")["bias"] == (61,)
    with pytest.raises(KeyError):
        scope(params, "bert.encoder.layer.3")


def test_layer_1_does_not_hold_layer_10() -> None:
    deep = parameter_shapes(BertConfig(**{**SIZES, "num_hidden_layers": 11}))
    assert len(scope(deep, "bert.encoder.layer.1")) == 16


def arrays() -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(CONFIG).items()}


def test_check_passes_what_fits() -> None:
    check(arrays(), CONFIG)
    check(dict(reversed(arrays().items())), CONFIG)


def scope_of_encoder() -> dict[str, np.ndarray]:
    return {n: a for n, a in arrays().items() if n.startswith(("bert.embeddings.", "bert.encoder."))}


def test_check_names_what_is_missing_left_over_or_misshapen() -> None:
    params = arrays()
    del params["bert.pooler.dense.bias"]
    with pytest.raises(InputError, match=r"missing bert\.pooler\.dense\.bias"):
        check(params, CONFIG)
    check({**arrays(), DECODER: np.zeros((61, 12))}, CONFIG)
    with pytest.raises(InputError, match=r"unexpected cls\.predictions\.decoder\.weight"):
        check({**scope_of_encoder(), DECODER: np.zeros((61, 12))}, CONFIG, ())
    with pytest.raises(InputError, match=r"decoder\.weight has shape \(12, 61\)"):
        check({**arrays(), DECODER: np.zeros((12, 61))}, CONFIG)
    with pytest.raises(InputError, match=r"unexpected cls\.other\.weight"):
        check({**arrays(), "cls.other.weight": np.zeros((61, 12))}, CONFIG)
    with pytest.raises(InputError, match="transposed"):
        check({**arrays(), "bert.encoder.layer.0.intermediate.dense.weight": np.zeros((12, 20))}, CONFIG)
    with pytest.raises(InputError, match=r"has shape \(13,\)"):
        check({**arrays(), "bert.embeddings.LayerNorm.weight": np.zeros(13)}, CONFIG)
    with pytest.raises(InputError, match="and 50 more"):
        check(scope(arrays(), "bert.encoder.layer.0"), CONFIG, ())


def test_no_array_library_is_imported() -> None:
    code = (
        "import sys, bertref.params, bertref.precision, bertref.optim;"
        "print([m for m in ('numpy', 'torch', 'cupy', 'array_api_compat') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
