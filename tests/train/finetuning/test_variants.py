"""Fine-tuning of a network whose positions are counted from its padding id: padding is that id, in every layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.checkpoint import describe_model, save_weights
from bertref.config import BertConfig, Numerics
from bertref.evaluation import EvaluateOptions, evaluate
from bertref.init import initial_parameters
from bertref.text.trainers import train_tokenizer
from bertref.train.finetuning.setup import basis_of, set_up
from bertref.train.report import silent

from . import running
from .running import cache, run  # noqa: F401

EXACT: dict[str, Any] = {"precision": "float64", "steps": 6, "eval_every": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A RoBERTa with a vocabulary of its kind, far from its beginning, and data."""
    tokenizer = train_tokenizer([text for text, _ in running.sentences(80)] * 3, 290, kind="byte-level")
    config = BertConfig(
        model_type="roberta", vocab_size=len(tokenizer.vocab), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=50, type_vocab_size=1, pad_token_id=1,
    )  # fmt: skip
    (tmp_path / "model").mkdir()
    numerics = Numerics(layer_norm_eps=1e-5)
    describe_model(tmp_path / "model", config, numerics, tokenizer, architecture="BertForMaskedLM")
    params = initial_parameters(config, numerics, 4, heads=("masked_lm",))
    save_weights(tmp_path / "model", {name: np.asarray(array * 4, np.float32) for name, array in params.items()})
    running.table(tmp_path / "train.csv")
    running.table(tmp_path / "dev.csv", 24, seed=5)
    return tmp_path


def test_shorter_texts_are_padded_with_the_models_padding_id(folder: Path) -> None:
    setup = set_up(basis_of(running.options(folder), folder / "none"), silent)
    batch = setup.features.batch(setup.store, setup.order.batch(0))
    padded = np.asarray(batch.attention_mask) == 0
    assert padded.any()
    assert (batch.input_ids[padded] == setup.basis.config.pad_token_id).all()
    assert not (batch.input_ids[~padded] == setup.basis.config.pad_token_id).any()


def test_padded_and_packed_learn_and_evaluate_alike(folder: Path) -> None:
    """Losses of every step, with dropout, and of both evaluations; then those of the model that was saved."""
    losses, evaluations, judged = {}, {}, {}
    for layout in ("padded", "packed"):
        _, log = run(folder, layout, layout=layout, **EXACT)
        losses[layout] = [step["loss"] for step in log.of("step")]
        evaluations[layout] = [found["loss"] for found in log.of("eval")]
        judged[layout] = loss_of(folder, layout)
    assert losses["padded"] == pytest.approx(losses["packed"], rel=1e-12)
    assert evaluations["padded"] == pytest.approx(evaluations["packed"], rel=1e-12)
    assert len({*map(float, losses["packed"])}) == len(losses["packed"]) == 6
    assert judged["padded"] == pytest.approx(judged["packed"], rel=1e-6)  # saved in float32


def loss_of(folder: Path, out: str) -> float:
    data, model = str(folder / "dev.csv"), str(folder / out)
    return evaluate(EvaluateOptions("classification", data, model=model, dtype="float64")).metrics["loss"]
