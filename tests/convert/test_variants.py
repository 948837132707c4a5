"""RoBERTa, DistilBERT and ALBERT are converted, proved by transformers and onnxruntime, and used."""

from pathlib import Path

import numpy as np
import pytest

import bertref
from bertref.checkpoint import load_model
from bertref.convert import convert
from bertref.errors import InputError
from bertref.text import Tokenizer, Vocab
from tests.checkpoint.test_folder import WORDS
from tests.variant_cases import made

NETWORKS = ("roberta", "distilbert", "albert")


def saved(name: str, kind: str, folder: Path) -> Path:
    """A folder of transformers' with a vocabulary."""
    made(name, kind, vocab_size=len(WORDS), pad_token_id=WORDS.index("[PAD]")).float().save_pretrained(folder)
    Tokenizer(Vocab(WORDS)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["ForMaskedLM", "ForSequenceClassification"])
def test_a_folder_is_converted_and_proved(name: str, kind: str, tmp_path: Path) -> None:
    folder = saved(name, kind, tmp_path / "theirs")
    for target in (tmp_path / "ours", tmp_path / "model.onnx"):
        done = convert(folder, target, check=True)
        assert done.proofs
        assert all(proof.holds for proof in done.proofs), done.proofs
        assert not done.unproved
    ours, theirs = load_model(tmp_path / "ours"), load_model(folder)
    assert ours.config == theirs.config
    for own, array in theirs.params.items():
        np.testing.assert_array_equal(ours.params[own], array)
    with pytest.raises(InputError, match=r"the original's checkpoints hold BERT alone, and this is"):
        convert(folder, tmp_path / "google", to="tensorflow")
    assert not (tmp_path / "google").exists()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folder_predicts_and_explains(name: str, tmp_path: Path) -> None:
    model = bertref.load(saved(name, "ForSequenceClassification", tmp_path / "model"), dtype="float64")
    text = "one two three"
    found = model.classify(text)
    assert abs(sum(each.score for each in found) - 1) < 1e-12
    assert model.features([text], ["layer.1.probs"])["layer.1.probs"].shape == (1, 3, 5, 5)
    explained = model.explain(text)
    assert explained.complete
    assert abs(explained.value - np.log(found[0].score / found[1].score)) < 1e-10
