"""Every published size: what bertref writes, transformers reads, and the other way round, with the same numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from bertref.checkpoint import describe_model, load_model, save_weights
from bertref.config import BertConfig, Numerics
from bertref.convert.proof import prove, random_batch
from bertref.init import initial_parameters
from bertref.presets import PRESETS
from bertref.text import Tokenizer, Vocab

from ..checkpoint.test_folder import WORDS

LARGE = ("medium", "base", "large")
SIZES = [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in PRESETS
         if "-" not in name]  # fmt: skip


def rich(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Biases, gamma and beta that are not what a new model has."""
    return array + random.normal(0, 0.02, array.shape).astype(array.dtype)


@pytest.mark.parametrize("preset", SIZES)
def test_transformers_reads_what_is_written(tmp_path: Path, preset: str) -> None:
    config, numerics = BertConfig.preset(preset), Numerics()
    random = np.random.default_rng(1)
    params = {n: rich(a, random) for n, a in initial_parameters(config, numerics, 1).items()}
    folder = tmp_path / "model"
    folder.mkdir()
    describe_model(folder, config, numerics, Tokenizer(Vocab(WORDS)))
    save_weights(folder, params)
    saved = load_model(folder)
    assert all(saved.params[name].tobytes() == array.tobytes() for name, array in params.items())
    proofs, notes, _ = prove(saved, folder, "huggingface")
    assert not notes
    assert all(proof.holds and set(proof.ratios) >= {"prediction_logits", "seq_relationship_logits"}
               for proof in proofs), proofs  # fmt: skip
    batch = random_batch(saved)
    assert batch["attention_mask"].min() == 0


@pytest.mark.parametrize("preset", SIZES)
def test_what_transformers_saved_is_read_back(tmp_path: Path, preset: str) -> None:
    layers, width = PRESETS[preset]
    torch.manual_seed(0)
    config = transformers.BertConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=width // 64, intermediate_size=4 * width
    )
    theirs = transformers.BertForPreTraining(config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path / "saved", max_shard_size="40MB" if preset == "mini" else "50GB")
    Tokenizer(Vocab(WORDS)).save_pretrained(tmp_path / "saved")
    saved = load_model(tmp_path / "saved")
    assert saved.coverage.format == "safetensors"
    assert (tmp_path / "saved" / "model.safetensors.index.json").exists() == (preset == "mini"), "one is sharded"
    state = theirs.state_dict()
    assert all(np.array_equal(array, state[name].numpy()) for name, array in saved.params.items())
    proofs, *_ = prove(saved, tmp_path / "saved", "huggingface")
    assert all(proof.holds for proof in proofs), proofs
