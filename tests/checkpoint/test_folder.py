"""Saved models: opened by transformers without a warning, with the same logits; damaged ones are named."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertref import backends, heads, model
from bertref.checkpoint import describe_model, load_model, save_weights
from bertref.config import BertConfig, Numerics
from bertref.errors import CheckpointError, InputError
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.layout import inputs
from bertref.opset import OpSet
from bertref.text import Tokenizer, Vocab

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "two", "three", "##s", "?")


def make(folder: Path, *, dialect: str = "huggingface", dtype: str = "float64", seed: int = 3) -> BertConfig:
    """A folder with a model of rich weights: biases, gamma and beta are not what a new model has."""
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=12,
    )  # fmt: skip
    numerics = Numerics.preset(dialect)
    rng = np.random.default_rng(seed)
    params = initial_parameters(config, numerics, seed, dtype=dtype)
    params = {name: (array + rng.normal(0, 0.2, array.shape)).astype(dtype) for name, array in params.items()}
    folder.mkdir()
    describe_model(folder, config, numerics, Tokenizer(Vocab(WORDS)))
    save_weights(folder, params)
    return config


def ours(folder: Path, ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MLM logits at every position (B, S, V) and NSP logits (B, 2)."""
    saved = load_model(folder)
    ops = OpSet(backends.get("numpy"))
    x = inputs(ops.xp, ids, mask, types)
    settings = Settings(saved.config, saved.numerics)
    encoded, _ = model.forward(ops, saved.params, x, settings)
    words = heads.masked_lm_logits(ops, saved.params, encoded.sequence, np.arange(ids.size), settings)
    pairs, _ = heads.next_sentence_forward(ops, saved.params, encoded.pooled)
    return words.reshape(*ids.shape, -1), pairs


@pytest.mark.parametrize("dialect", ["huggingface", "google"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_transformers_opens_it_and_agrees(
    tmp_path: Path, dialect: str, dtype: str, tolerance: float, caplog: pytest.LogCaptureFixture
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "model"
    make(folder, dialect=dialect, dtype=dtype)
    transformers.utils.logging.enable_propagation()
    with caplog.at_level(logging.WARNING):
        theirs, info = transformers.BertForPreTraining.from_pretrained(
            folder, output_loading_info=True, dtype=getattr(torch, dtype)
        )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not [r for r in caplog.records if "weight" in r.getMessage().lower() or "initialized" in r.getMessage()]
    rng = np.random.default_rng(0)
    ids = rng.integers(0, len(WORDS), (3, 9))
    mask = (np.arange(9) < np.array([[9], [5], [2]])).astype(int)
    types = (np.arange(9) > 3).astype(int) * np.ones((3, 1), int)
    with torch.no_grad():
        found = theirs.eval()(torch.tensor(ids), torch.tensor(mask), torch.tensor(types))
    words, pairs = ours(folder, ids, mask, types)
    real = mask.astype(bool)
    for mine, their in (
        (words[real], found.prediction_logits.numpy()[real]),
        (pairs, found.seq_relationship_logits.numpy()),
    ):
        assert np.linalg.norm(mine - their) <= tolerance * np.linalg.norm(their)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    assert tokenizer("one twos?")["input_ids"] == Tokenizer(Vocab(WORDS)).encode("one twos?").input_ids


def test_the_dialect_is_recorded(tmp_path: Path) -> None:
    make(tmp_path / "model", dialect="google")
    assert load_model(tmp_path / "model").numerics == Numerics.preset("google")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["hidden_act"] == "gelu_new"


def test_weights_come_back_bit_equal(tmp_path: Path) -> None:
    config = make(tmp_path / "model")
    params = load_model(tmp_path / "model").params
    (tmp_path / "again").mkdir()
    describe_model(tmp_path / "again", config, Numerics(), Tokenizer(Vocab(WORDS)))
    save_weights(tmp_path / "again", params)
    again = load_model(tmp_path / "again").params
    assert all(np.array_equal(params[name], again[name]) for name in params)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        load_model(tmp_path / "nowhere")
    folder = tmp_path / "model"
    make(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:4], b"", b"\xff" * 64):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load_model(folder)
    weights.unlink()
    (folder / "checkpoint-30").mkdir()
    with pytest.raises(CheckpointError, match=r"training has not finished.*checkpoint-30"):
        load_model(folder)


def test_weights_that_do_not_fit_or_are_not_numbers_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    config = make(folder)
    saved = load_model(folder)
    bad = {**saved.params, "cls.seq_relationship.bias": np.array([0.0, np.nan])}
    save_weights(folder, bad)
    with pytest.raises(CheckpointError, match=r"cls\.seq_relationship\.bias holds NaN"):
        load_model(folder)
    save_weights(folder, {k: v for k, v in saved.params.items() if k != "bert.pooler.dense.bias"})
    with pytest.raises(InputError, match=r"bert\.pooler\.dense\.bias"):
        load_model(folder)
    save_weights(folder, saved.params)
    describe_model(folder, replace(config, vocab_size=11), Numerics(), saved.tokenizer)
    with pytest.raises(InputError, match="word_embeddings"):
        load_model(folder)
