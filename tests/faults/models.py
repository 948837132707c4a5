"""Small models in Hugging Face folders, made of random numbers and JSON."""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

SPECIALS = "[PAD] [UNK] [CLS] [SEP] [MASK]".split()
SIZE = {
    "vocab_size": 0, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 32, "type_vocab_size": 2,
}  # fmt: skip


def random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers far from zero, gains around one; the same for the same name."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    return draw.normal(1 if name.endswith("LayerNorm.weight") else 0, 0.3, shape)


def model(
    folder: Path,
    kind: str,
    words: Sequence[str],
    *,
    labels: Sequence[str] = ("A", "B"),
    weights: Callable[[str, tuple[int, ...]], np.ndarray] = random,
    **settings: Any,
) -> Path:
    """A folder with the class `kind` of transformers, its vocabulary the special tokens and `words`.

    `settings` go into the config; `weights` gives each tensor by its name and shape.
    """
    folder.mkdir(parents=True)
    vocabulary = [*SPECIALS, *words]
    config = {**SIZE, "vocab_size": len(vocabulary), **settings}
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    arrays = {
        name: weights(name, shape).astype(np.float32) for name, shape in shapes(config, kind, len(labels)).items()
    }
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    json_file(folder / "config.json", {"model_type": "bert", "architectures": [kind], **config, **named})
    json_file(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary), encoding="utf-8")
    return folder


def json_file(path: Path, values: Any) -> None:
    """Writes or replaces a file of JSON."""
    path.write_text(json.dumps(values), encoding="utf-8")


def shapes(config: dict[str, int], kind: str, labels: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the class by its name."""
    H, intermediate = config["hidden_size"], config["intermediate_size"]
    tables = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    found = {f"bert.embeddings.{name}_embeddings.weight": (config[size], H) for name, size in tables.items()}
    found |= pair("bert.embeddings.LayerNorm", H)
    for i in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            found |= pair(f"{layer}.{name}", H, H)
        found |= pair(f"{layer}.intermediate.dense", intermediate, H) | pair(f"{layer}.output.dense", H, intermediate)
        found |= pair(f"{layer}.attention.output.LayerNorm", H) | pair(f"{layer}.output.LayerNorm", H)
    if kind == "BertForMaskedLM":
        found |= pair("cls.predictions.transform.dense", H, H) | pair("cls.predictions.transform.LayerNorm", H)
        return {**found, "cls.predictions.bias": (config["vocab_size"],)}
    if kind == "BertForQuestionAnswering":
        return found | pair("qa_outputs", 2, H)
    if kind == "BertForTokenClassification":
        return found | pair("classifier", labels, H)
    found |= pair("bert.pooler.dense", H, H)
    if kind == "BertForNextSentencePrediction":
        return found | pair("cls.seq_relationship", 2, H)
    rows = {"BertForSequenceClassification": labels, "BertForMultipleChoice": 1}
    return found | (pair("classifier", rows[kind], H) if kind in rows else {})


def pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    """A weight and its bias."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
