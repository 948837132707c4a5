"""The architecture and the dialect: presets, `config.json` both ways, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from bertref.config import (
    DIALECTS,
    BertConfig,
    Numerics,
    config_from_dict,
    config_to_dict,
    numerics_from_dict,
    numerics_to_dict,
    read_config,
)
from bertref.errors import InputError
from bertref.variants import VARIANTS

HUGGINGFACE, GOOGLE = DIALECTS["huggingface"], DIALECTS["google"]

# (layers, width, heads, intermediate) as published: Devlin et al. 2019, section 3; Turc et al. 2019, table 1
PUBLISHED = {
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
    "small": (4, 512, 8, 2048),
    "medium": (8, 512, 8, 2048),
    "base": (12, 768, 12, 3072),
    "large": (24, 1024, 16, 4096),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_are_the_published_sizes(name: str) -> None:
    config = BertConfig.preset(name)
    sizes = (
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
    )
    assert sizes == PUBLISHED[name]
    assert config.head_size == 64
    assert (config.vocab_size, config.max_position_embeddings, config.type_vocab_size) == (30522, 512, 2)


def test_a_preset_takes_changes_and_an_unknown_one_is_refused() -> None:
    assert BertConfig.preset("tiny", vocab_size=77).vocab_size == 77
    with pytest.raises(InputError, match=r"'huge'.*tiny, mini"):
        BertConfig.preset("huge")
    with pytest.raises(InputError, match=r"'tensorflow'.*huggingface, google"):
        Numerics.preset("tensorflow")


BERTS = tuple(name for name in BertConfig.__dataclass_fields__ if all(name not in v.own for v in VARIANTS.values()))
"""The settings that every variant has."""


def test_defaults_are_those_of_hugging_face() -> None:
    theirs = transformers.BertConfig()
    ours = BertConfig()
    for name in BERTS:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert Numerics().layer_norm_eps == theirs.layer_norm_eps


def test_dialects_are_literal() -> None:
    assert Numerics(
        gelu="erf", mask_value=-3.4028234663852886e38, scale_scores="after", layer_norm_eps=1e-12,
        mlm_denominator_epsilon=0.0, optimizer="adamw", decay_exclusions=("LayerNorm", "layer_norm", "bias"),
        clip_epsilon=1e-6, schedule="huggingface", initializer="normal",
    ) == HUGGINGFACE  # fmt: skip
    assert Numerics(
        gelu="tanh", mask_value=-10000.0, scale_scores="after", layer_norm_eps=1e-12,
        mlm_denominator_epsilon=1e-5, optimizer="google", decay_exclusions=("LayerNorm", "layer_norm", "bias"),
        clip_epsilon=0.0, schedule="google", initializer="truncated_normal",
    ) == GOOGLE  # fmt: skip


def test_what_hugging_face_writes_is_read() -> None:
    theirs = transformers.BertConfig(
        vocab_size=99, hidden_size=60, num_hidden_layers=3, num_attention_heads=5, intermediate_size=70,
        max_position_embeddings=33, type_vocab_size=3, hidden_act="gelu_new", hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3, initializer_range=0.01, layer_norm_eps=1e-7, pad_token_id=4,
    )  # fmt: skip
    config, numerics = config_from_dict(json.loads(json.dumps(theirs.to_dict())))
    assert config == BertConfig(99, 60, 3, 5, 70, "gelu", 0.2, 0.3, 33, 3, 0.01, 4)
    assert numerics == replace(HUGGINGFACE, gelu="tanh", layer_norm_eps=1e-7)


def test_googles_own_file_is_read() -> None:
    values = {
        "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 128,
        "initializer_range": 0.02, "intermediate_size": 512, "max_position_embeddings": 512, "num_attention_heads": 2,
        "num_hidden_layers": 2, "type_vocab_size": 2, "vocab_size": 30522,
    }  # fmt: skip
    assert config_from_dict(values) == (BertConfig.preset("tiny"), HUGGINGFACE)
    assert config_from_dict(values, dialect=GOOGLE)[1] == GOOGLE


configs = st.builds(
    BertConfig,
    vocab_size=st.integers(10, 99),
    hidden_size=st.sampled_from([12, 24]),
    num_hidden_layers=st.integers(0, 5),
    num_attention_heads=st.sampled_from([1, 2, 3]),
    intermediate_size=st.integers(1, 50),
    hidden_act=st.sampled_from(["gelu", "relu", "tanh"]),
    hidden_dropout_prob=st.floats(0, 0.99),
    pad_token_id=st.integers(0, 9),
)
dialects = st.builds(
    Numerics,
    gelu=st.sampled_from(["erf", "tanh"]),
    mask_value=st.sampled_from([-math.inf, -1e4, -3.4028234663852886e38]),
    scale_scores=st.sampled_from(["after", "query"]),
    layer_norm_eps=st.sampled_from([1e-12, 1e-5, 0.0]),
    optimizer=st.sampled_from(["google", "adamw", "lamb"]),
    decay_exclusions=st.lists(st.sampled_from(["bias", "LayerNorm"]), max_size=2).map(tuple),
)


@given(configs, dialects)
def test_round_trip_through_json(config: BertConfig, numerics: Numerics) -> None:
    text = json.dumps(config_to_dict(config, numerics), allow_nan=False)
    assert config_from_dict(json.loads(text)) == (config, numerics)


@pytest.mark.parametrize(
    ("gelu", "theirs"), [("erf", "gelu"), ("tanh", "gelu_new")], ids=["gelu", "gelu_new"]
)
def test_hugging_face_opens_what_we_write(gelu: Any, theirs: str) -> None:
    config = BertConfig.preset("mini", vocab_size=321, attention_probs_dropout_prob=0.25)
    written = config_to_dict(config, replace(GOOGLE, gelu=gelu, layer_norm_eps=1e-6))
    opened = transformers.BertConfig.from_dict(json.loads(json.dumps(written)))
    for name in BERTS:
        if name != "hidden_act":
            assert getattr(opened, name) == getattr(config, name), name
    assert opened.hidden_act == theirs
    assert opened.layer_norm_eps == 1e-6
    assert opened.architectures == ["BertForPreTraining"]
    # and what Hugging Face writes after it opened ours still names the dialect
    assert config_from_dict(opened.to_dict()) == (config, replace(GOOGLE, gelu=gelu, layer_norm_eps=1e-6))


ACTS = [
    ("gelu", "gelu_erf"),
    ("gelu_new", "gelu_tanh"),
    ("gelu_pytorch_tanh", "gelu_tanh"),
    ("relu", "relu"),
    ("tanh", "tanh"),
]


@pytest.mark.parametrize(("name", "op"), ACTS)
def test_activation_names(name: str, op: str) -> None:
    config, numerics = config_from_dict({"hidden_act": name})
    assert numerics.activation(config.hidden_act) == op


def test_relu_leaves_the_recorded_meaning_of_gelu_alone() -> None:
    written = config_to_dict(BertConfig(hidden_act="relu"), GOOGLE)
    assert config_from_dict(written)[1] == GOOGLE


def test_minus_infinity_is_written_as_json() -> None:
    exact = replace(HUGGINGFACE, mask_value=-math.inf)
    values = json.loads(json.dumps(numerics_to_dict(exact), allow_nan=False))
    assert values["mask_value"] == "-inf"
    assert numerics_from_dict(values) == exact


REFUSED = [
    ({"rotary": True}, "unknown key rotary"),
    ({"rotary": 1, "alibi": 2}, "unknown keys alibi, rotary"),
    ({"model_type": "deberta"}, "model_type = 'deberta' is not supported: its attention scores have terms of relative"),
    ({"model_type": "electra"}, "its discriminator judges every token"),
    ({"model_type": "modernbert"}, "it has rotary positions"),
    ({"model_type": "gpt2"}, "it is a decoder"),
    ({"model_type": "megatron"}, "model_type = 'megatron' is not supported; there are bert, roberta"),
    ({"model_type": ["bert"]}, "is not supported; there are bert, roberta"),
    ({"model_type": "roberta", "hidden_act": "relu"}, "hidden_act 'relu' is not supported; RoBERTa's masked-word head"),
    ({"model_type": "roberta", "max_position_embeddings": 2}, "max_position_embeddings is 2"),
    ({"model_type": "distilbert", "type_vocab_size": 2}, "unknown key type_vocab_size"),
    ({"model_type": "distilbert", "layer_norm_eps": 1e-5}, "unknown key layer_norm_eps"),
    ({"embedding_size": 8}, "unknown key embedding_size"),
    ({"type_vocab_size": 0}, "type_vocab_size is 0"),
    ({"model_type": "albert", "embedding_size": 0}, "embedding_size is 0"),
    ({"model_type": "albert", "num_hidden_groups": 1.5}, "num_hidden_groups is 1.5"),
    ({"model_type": "albert", "net_structure_type": 1}, "net_structure_type = 1 is not supported"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
    ({"is_decoder": True}, "is_decoder = True"),
    ({"add_cross_attention": True}, "add_cross_attention"),
    ({"chunk_size_feed_forward": 8}, "chunk_size_feed_forward"),
    ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
    ({"hidden_act": "swish"}, "hidden_act 'swish'.*gelu_new"),
    ({"hidden_size": 100, "num_attention_heads": 3}, "hidden_size 100 is not a multiple .* 3"),
    ({"hidden_size": 0}, "hidden_size is 0"),
    ({"hidden_size": True}, "hidden_size is True"),
    ({"hidden_size": 64.0}, "hidden_size is 64.0"),
    ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
    ({"vocab_size": "30522"}, "vocab_size is '30522'"),
    ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob is 1.0"),
    ({"classifier_dropout": 1.0}, "classifier_dropout is 1.0"),
    ({"classifier_dropout": "0.1"}, "classifier_dropout is '0.1'"),
    ({"attention_probs_dropout_prob": float("nan")}, "attention_probs_dropout_prob is nan"),
    ({"initializer_range": 0}, "initializer_range is 0"),
    ({"pad_token_id": 30522}, "pad_token_id is 30522"),
    ({"layer_norm_eps": -1e-12}, "layer_norm_eps is -1e-12"),
    ({"layer_norm_eps": "1e-12"}, "layer_norm_eps is '1e-12'"),
    ({"bertref_numerics": {"gelu": "fast"}}, "gelu is 'fast'"),
    ({"bertref_numerics": {"tf32": True}}, "unknown numeric setting tf32"),
    ({"bertref_numerics": {"mask_value": 1.0}}, "mask_value is 1.0"),
    ({"bertref_numerics": {"mask_value": "lots"}}, "mask_value is 'lots'"),
    ({"bertref_numerics": {"decay_exclusions": 5}}, "decay_exclusions is 5"),
    ({"bertref_numerics": 3}, "numeric settings are 3"),
    ({"hidden_act": ["gelu"]}, "hidden_act .'gelu'. is not supported"),
    ({"bertref_numerics": {"optimizer": "sgd"}}, "optimizer is 'sgd'"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_not_understood_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_from_dict(values)


def test_the_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content, message in [("{", "can't be read as JSON"), ("[1]", "a JSON object is expected, not list"),
                             ('{"bertref_numerics": {"gelu": "fast"}}', "gelu is 'fast'"),
                             ('{"hidden_size": 7, "num_attention_heads": 2}', "hidden_size 7")]:  # fmt: skip
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=message) as caught:
            read_config(path)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_config(tmp_path / "missing.json")


def test_a_file_is_read_and_overridden(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = BertConfig.preset("tiny")
    path.write_text(json.dumps(config_to_dict(config, GOOGLE)), encoding="utf-8")
    assert read_config(path) == (config, GOOGLE)
    assert read_config(path, dialect=HUGGINGFACE) == (config, HUGGINGFACE)


def test_a_dialect_written_before_it_knew_of_spans_is_read() -> None:
    older = numerics_to_dict(GOOGLE)
    assert "span_padding" not in older, "so that an older version reads it, too"
    assert numerics_from_dict(older) == GOOGLE
    assert numerics_from_dict({**older, "span_padding": "counted"}).span_padding == "counted"
    with pytest.raises(InputError, match="span_padding is 'half'; it must be one of excluded, counted"):
        numerics_from_dict({**older, "span_padding": "half"})
