"""The table of names: a bijection for the original's variables, and every way in which Hugging Face's files differ."""

import pytest

from bertref.checkpoint.names import (
    GLOBAL_STEP,
    Translation,
    from_huggingface,
    from_tensorflow,
    to_tensorflow,
    transposed_in_tensorflow,
)
from bertref.config import BertConfig
from bertref.heads import DECODER, parameter_shapes

HEADS = ("pretraining", "question_answering", "token_classification")
NAMES = list(parameter_shapes(BertConfig.preset("tiny", num_hidden_layers=12), HEADS))


def test_every_parameter_has_a_name_in_tensorflow_that_leads_back() -> None:
    theirs = [to_tensorflow(name) for name in NAMES]
    assert len(set(theirs)) == len(NAMES)
    assert [from_tensorflow(name) for name in theirs] == [
        Translation(name, transposed=transposed_in_tensorflow(name)) for name in NAMES
    ]


def test_kernels_are_turned_and_nothing_else() -> None:
    turned = [name for name in NAMES if transposed_in_tensorflow(name)]
    assert turned == [
        name for name in NAMES
        if name.endswith("weight") and not any(part in name for part in
            ("embeddings", "LayerNorm", "seq_relationship", "classifier", "qa_outputs"))
    ]  # fmt: skip
    assert len(turned) == 12 * 6 + 2


@pytest.mark.parametrize(
    ("stored", "meaning"),
    [
        ("bert/encoder/layer_11/output/dense/kernel",
         Translation("bert.encoder.layer.11.output.dense.weight", transposed=True)),
        ("bert/encoder/layer_0/attention/output/LayerNorm/gamma/adam_v",
         Translation("bert.encoder.layer.0.attention.output.LayerNorm.weight", "v")),
        ("bert/pooler/dense/kernel/adam_m", Translation("bert.pooler.dense.weight", "m", True)),
        (GLOBAL_STEP, Translation(GLOBAL_STEP, "step")),
        ("output_weights", Translation("classifier.weight")),
        ("cls/squad/output_bias", Translation("qa_outputs.bias")),
    ],
)  # fmt: skip
def test_the_originals_names(stored: str, meaning: Translation) -> None:
    assert from_tensorflow(stored) == meaning


@pytest.mark.parametrize(
    "stored",
    [
        "bert/encoder/layer_01/output/dense/kernel", "bert/encoder/layer_1/output/dense/weight",
        "bert/embeddings/word_embeddings/kernel", "bert/embeddings/other_embeddings", "global_step/adam_m",
        "bert/encoder/layer_0/attention/self/query/kernel/adam_m/adam_v", "cls/predictions/decoder/kernel",
        "bert.pooler.dense.weight", "beta1_power", "", "/",
    ],
)  # fmt: skip
def test_other_variables_are_not_berts(stored: str) -> None:
    assert from_tensorflow(stored) is None


def test_a_decoder_of_its_own_has_no_name_in_tensorflow() -> None:
    with pytest.raises(KeyError):
        to_tensorflow(DECODER)
    with pytest.raises(KeyError):
        to_tensorflow("bert.unknown.weight")


@pytest.mark.parametrize("name", NAMES)
def test_hugging_faces_own_names_mean_themselves(name: str) -> None:
    assert from_huggingface(name) == Translation(name)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("cls.predictions.transform.LayerNorm.beta", "cls.predictions.transform.LayerNorm.bias"),
        ("encoder.layer.3.output.LayerNorm.gamma", "bert.encoder.layer.3.output.LayerNorm.weight"),
        ("pooler.dense.bias", "bert.pooler.dense.bias"),
        ("module.bert.pooler.dense.bias", "bert.pooler.dense.bias"),
        ("cls.predictions.decoder.weight", DECODER),
        ("_orig_mod.module.model.bert.pooler.dense.bias", "bert.pooler.dense.bias"),
        ("model._orig_mod.encoder.layer.3._orig_mod.output.LayerNorm.gamma",
         "bert.encoder.layer.3.output.LayerNorm.weight"),
        ("bert.module.encoder.layer.0._checkpoint_wrapped_module.output.dense.bias",
         "bert.encoder.layer.0.output.dense.bias"),
        ("model.classifier.weight", "classifier.weight"),
    ],
)  # fmt: skip
def test_older_and_shorter_names(stored: str, name: str) -> None:
    assert from_huggingface(stored) == Translation(name)


def test_buffers_and_strangers() -> None:
    assert from_huggingface("embeddings.position_ids") == Translation("bert.embeddings.position_ids", "buffer")
    for stranger in (
        "roberta.embeddings.LayerNorm.weight", "bert.encoder.layer.1.output.dense.kernel", "gamma", "model",
        "bert.encoder.layer.x.output.dense.weight", "bert.bert.pooler.dense.bias",
        "teacher.model.bert.pooler.dense.bias", "model_ema.bert.pooler.dense.bias",
    ):  # fmt: skip
        assert from_huggingface(stranger) is None
