"""Folders of sentence-transformers' CrossEncoder and SparseEncoder: opened, and their stored activation applied."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertref

from .asking import bertref as command
from .folders import PAIR, TEXT, add, inputs, make


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}),
        ("config.json", {"sentence_transformers": {"version": "4.0.1"}}),
        ("config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}),
        ("config_sentence_transformers.json",
         {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Sigmoid"}),
        ("config_sentence_transformers.json", {"model_type": "CrossEncoder", "prompts": {}}),
    ],
)  # fmt: skip
def test_a_cross_encoder_scores_with_its_sigmoid(file: str, keys: dict[str, Any], tmp_path: Path) -> None:
    network = make(tmp_path / "model", "BertForSequenceClassification", num_labels=1)
    add(tmp_path / "model" / file, **keys)
    done = command("predict", "--model", tmp_path / "model", TEXT, "--pair", PAIR, "--json")
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = torch.sigmoid(network(**inputs(TEXT, PAIR)).logits).item()
    (label,) = json.loads(done.stdout)["labels"]
    assert label["score"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("torch.nn.modules.linear.Identity", lambda x: x),
        ("torch.nn.Sigmoid", torch.sigmoid),
        ("torch.nn.modules.activation.Tanh", torch.tanh),
        ("torch.nn.modules.activation.Softmax", lambda x: torch.softmax(x, -1)),
    ],
)
@pytest.mark.parametrize("labels", [1, 3])
def test_the_stored_activation_is_applied(path: str, function: Any, labels: int, tmp_path: Path) -> None:
    network = make(tmp_path / "model", "BertForSequenceClassification", num_labels=labels)
    add(tmp_path / "model/config.json", sentence_transformers={"activation_fn": path})
    found = {score.label: score.score for score in bertref.load(tmp_path / "model").classify(TEXT, PAIR)}
    with torch.no_grad():
        expected = function(network(**inputs(TEXT, PAIR)).logits)[0].tolist()
    assert found == pytest.approx({f"LABEL_{i}": value for i, value in enumerate(expected)}, abs=1e-5)


def test_a_folder_of_a_cross_encoder_has_a_transformer_alone(tmp_path: Path) -> None:
    network = make(tmp_path / "model", "BertForSequenceClassification", num_labels=1)
    add(tmp_path / "model/config_sentence_transformers.json", model_type="CrossEncoder")
    modules = [{"idx": 0, "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]
    (tmp_path / "model/modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with torch.no_grad():
        expected = torch.sigmoid(network(**inputs(TEXT, PAIR)).logits).item()
    assert bertref.load(tmp_path / "model").classify(TEXT, PAIR)[0].score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("first", ["base.modules.transformer.Transformer", "sparse_encoder.models.MLMTransformer"])
def test_a_sparse_encoder_weighs_every_word(strategy: str, activation: str, first: str, tmp_path: Path) -> None:
    network = make(tmp_path / "model", "BertForMaskedLM")
    kinds = {"": first, "1_SpladePooling": "sparse_encoder.models.SpladePooling"}
    modules = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in kinds.items()]
    (tmp_path / "model/modules.json").write_text(json.dumps(modules), encoding="utf-8")
    add(tmp_path / "model/1_SpladePooling/config.json", pooling_strategy=strategy, activation_function=activation)
    found = bertref.load(tmp_path / "model").embed([TEXT, PAIR])
    for text, vector in zip([TEXT, PAIR], found, strict=True):
        with torch.no_grad():
            weights = torch.log1p(torch.relu(network(**inputs(text)).logits[0]))
        weights = torch.log1p(weights) if activation == "log1p_relu" else weights
        expected = weights.amax(0) if strategy == "max" else weights.sum(0)
        np.testing.assert_allclose(vector, expected.numpy(), atol=2e-5)
