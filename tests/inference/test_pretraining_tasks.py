"""Masks and pairs of sentences against transformers' pipeline and model, tied decoder and not."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import bertref

from .saved import VOCAB, make, pipeline

TEXTS = ["the [MASK] .", "Ada [MASK] lived in [MASK], in 1852.", "[MASK]"]


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_guesses_are_those_of_the_pipeline(tmp_path: Path, kind: str, tied: bool) -> None:
    network = make(tmp_path / "m", kind, tie_word_embeddings=tied)
    model = bertref.load(tmp_path / "m", dtype="float64")
    theirs = pipeline("fill-mask", tmp_path / "m", as_masked_lm(network, tmp_path / "m"), top_k=4)
    for text, masks in zip(TEXTS, model.predict_batch(TEXTS, top_k=4), strict=True):
        want = theirs(text)
        want = want if isinstance(want[0], list) else [want]
        assert [[g.token for g in mask.top] for mask in masks] == [[w["token_str"] for w in some] for some in want]
        for mask, some in zip(masks, want, strict=True):
            assert [g.probability for g in mask.top] == pytest.approx([w["score"] for w in some], rel=1e-5)
            assert all(VOCAB.ids[g.token] == g.id for g in mask.top)


def as_masked_lm(network: Any, folder: Path) -> Any:
    """The pipeline wants a model whose output has `logits`."""
    if isinstance(network, transformers.BertForMaskedLM):
        return network
    return transformers.BertForMaskedLM.from_pretrained(folder, dtype=torch.float64).eval()


@pytest.mark.parametrize("kind", ["BertForNextSentencePrediction", "BertForPreTraining"])
def test_pairs_are_judged_as_transformers_does(tmp_path: Path, kind: str) -> None:
    network = make(tmp_path / "m", kind)
    model = bertref.load(tmp_path / "m", dtype="float64")
    first, second = ["It rained.", "Who?", "x"] * 13, ["He went in.", "Ada Lovelace wrote the book.", "y z"] * 13
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tmp_path / "m")
    with torch.no_grad():
        out = network(**tokenizer(first, second, return_tensors="pt", padding=True))
    logits = out.logits if kind == "BertForNextSentencePrediction" else out.seq_relationship_logits
    want = logits.softmax(-1)[:, 0].tolist()
    assert model.next_sentence_batch(first, second) == pytest.approx(want, rel=1e-11)
    assert len({round(p, 6) for p in want}) == 3
