"""Addresses that must not move: the numbers of parameters, and what is drawn from the streams that they name."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from bertref.config import BertConfig, Numerics
from bertref.heads import HEADS, canonical_number, parameter_shapes
from bertref.init import initial_parameters
from bertref.presets import PRESETS
from bertref.verify import Case, generate

HEADS_OF_TODAY = ("pretraining", "token_classification", "question_answering")
"""Together they have every parameter that was there when the digests were made."""


def digest(arrays: Iterable[tuple[str, Any]]) -> str:
    found = hashlib.sha256()
    for name, value in arrays:
        array = np.ascontiguousarray(value)
        found.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:32]


@pytest.mark.parametrize(
    ("preset", "dialect", "wanted"),
    [
        ("tiny", "google", "28863657fea2311c51f4aa3d30211c3d"),
        ("tiny", "huggingface", "05a4521cf33cfec69ee61450b91517e1"),
        ("mini", "google", "da9cc99ee077fcdde53de2d26573dd0d"),
        ("mini", "huggingface", "d7e55d53c67c06fccff327da95fba582"),
    ],
)
def test_initial_weights_are_pinned(preset: str, dialect: str, wanted: str) -> None:
    config = BertConfig.preset(preset)
    params = initial_parameters(config, Numerics.preset(dialect), 12345, heads=HEADS_OF_TODAY, num_labels=3)
    assert digest(params.items()) == wanted


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("tiny", "2838c6e1af164c8c6ebb442123904a48"),
        ("mini", "678dcd5805c839a29d37e707b9bee301"),
        ("small", "9d1395c5672572f04e3ec55c0583d3ac"),
        ("medium", "f71c20acd86cd5621589e76d6226919d"),
        ("base", "f6f5fd8ad9481475d99cfcf9f0c99b7c"),
        ("large", "849941e616b3302b1fd40845b36181d0"),
    ],
)
def test_the_addresses_of_every_size_are_pinned(preset: str, wanted: str) -> None:
    """Name, number and shape in their order: with the generator, whose bits are pinned, they are the weights."""
    shapes = parameter_shapes(BertConfig.preset(preset), HEADS_OF_TODAY, num_labels=3)
    rows = "\n".join(f"{name} {canonical_number(name)} {shape}" for name, shape in shapes.items())
    assert hashlib.sha256(rows.encode()).hexdigest()[:32] == wanted


def test_every_preset_is_pinned() -> None:
    """Those of the other variants are counted against transformers' (`tests/test_variants.py`)."""
    assert {name for name in PRESETS if "-" not in name} == {"tiny", "mini", "small", "medium", "base", "large"}


def tensors(case: Case) -> Iterable[tuple[str, Any]]:
    assert case.optimizer is not None
    yield from case.params.items()
    for name in ("input_ids", "attention_mask", "token_type_ids", "masked_lm_positions", "masked_lm_ids",
                 "masked_lm_weights", "next_sentence_label"):  # fmt: skip
        yield name, getattr(case.batch, name)
    yield from case.optimizer.moments.items()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("tiny", "972da4937c94a30fc501feabbb721bcf"),
        ("small", "cbcd125ec0f64da9b29b6c0f26fd3315"),
        ("medium", "ac87e08baae4a6718fc45e697a544102"),
        pytest.param("base", "e6572dbbeb698cdf47f1c7f31e40a1df", marks=pytest.mark.slow),
    ],
)
def test_generated_cases_are_pinned(size: str, wanted: str) -> None:
    assert digest(tensors(generate(0, size=size))) == wanted


def test_numbers_of_heads_end_where_those_of_layers_begin() -> None:
    first = canonical_number("bert.encoder.layer.0.attention.self.query.weight")
    assert all(canonical_number(name) < first for head in HEADS.values() for name in head.parameters)
