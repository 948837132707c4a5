"""Attention maps against transformers'."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import bertref
from tests.inference.saved import labels, make


def test_maps_are_transformers(tmp_path: Path) -> None:
    network = make(tmp_path / "m", "BertForSequenceClassification", **labels("a", "b"))
    model = bertref.load(tmp_path / "m", dtype="float64")
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tmp_path / "m")
    given = tokenizer("Ada rained.", "Who?", return_tensors="pt")
    with torch.no_grad():
        maps = network(**given, output_attentions=True).attentions
    for layer, head in ((0, 0), (1, 2), (-1, -1), (-2, None)):
        found = model.attention("Ada rained.", "Who?", layer=layer, head=head)
        want = maps[layer][0].mean(0) if head is None else maps[layer][0, head]
        np.testing.assert_allclose(found.weights, want.numpy(), rtol=1e-11)
        assert (found.layer, found.head) == (layer % 2, None if head is None else head % 3)
        assert list(found.tokens) == tokenizer.convert_ids_to_tokens(given.input_ids[0])


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertModel")
    model = bertref.load(tmp_path / "m")
    assert len(model.attention("Ada").weights) == 3
    for options, message in (
        ({"layer": 2}, r"layer 2: this model has layers 0 to 1 \(or -1 to -2, from the last\)"),
        ({"layer": -3}, "layer -3: this model has layers 0 to 1"),
        ({"head": 3}, "head 3: this model has heads 0 to 2"),
    ):
        with pytest.raises(bertref.InputError, match=message):
            model.attention("Ada", **options)  # type: ignore[arg-type]
    with pytest.raises(bertref.InputError, match="has 62 tokens"):
        model.attention("it " * 60)
    assert len(model.attention("it " * 60, truncate="head").tokens) == 48
