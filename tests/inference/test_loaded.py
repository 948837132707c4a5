"""Texts through the encoder: shared among threads, nothing changes."""

import itertools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import api
from bertref.backends.numpy import threads
from bertref.errors import InputError
from bertref.inference import loaded
from bertref.text import AddedToken, Tokenizer
from bertref.text.encoding import Encoding

from .saved import make


def encoding(length: int) -> Encoding:
    return Encoding(list(range(length)), [0] * length)


@given(lengths=st.lists(st.integers(1, 40), max_size=30), part=st.integers(2, 60), cores=st.sampled_from((None, 1, 4)))
def test_parts_are_all_of_it_in_order(lengths: list[int], part: int, cores: int | None) -> None:
    """As many as have the tokens that are wanted, or, where there are more cores than those, at least half of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded, "PART", part)
        patch.setattr(loaded, "LEAST", part // 2)
        patch.setattr(os, "cpu_count", lambda: cores)
        parts = [lengths[some] for some in loaded.parts_of(lengths)]
    assert [n for some in parts for n in some] == lengths
    assert all(parts)
    least = part // 2 if cores == 4 and sum(lengths) // part < 4 else part
    if sum(lengths) < 2 * least:
        assert len(parts) <= 1
    assert len(parts) <= max(1, sum(lengths) // least)


@given(lengths=st.lists(st.integers(1, 300), max_size=80))
def test_batches_by_length(lengths: list[int]) -> None:
    """Every text once, the longest first; a batch is full only of texts enough and of tokens enough."""
    batches = list(loaded.by_length([encoding(n) for n in lengths]))
    order = [i for some in batches for i in some]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
    for some, following in itertools.pairwise(batches):
        assert len(some) >= loaded.BATCH
        assert sum(lengths[i] for i in some) + lengths[following[0]] > loaded.TOKENS
        assert len(some) == loaded.BATCH or sum(lengths[i] for i in some) <= loaded.TOKENS


@pytest.mark.parametrize("threads_", [None, 1, 3])
def test_each_part_is_worked_on_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads_: int | None) -> None:
    """On threads in parts of like lengths, without threads (None) in batches; an error in one of them is raised."""
    make(tmp_path, "BertModel")
    model = api.load(tmp_path, kernels=threads_ is not None)
    monkeypatch.setattr(loaded, "PART", 100)
    monkeypatch.setattr(loaded, "TOKENS", 300)
    monkeypatch.setattr(loaded, "BATCH", 5)
    lengths = np.random.default_rng(5).integers(1, 60, 90).tolist()
    seen: list[list[int]] = []

    def fail(some: list[int]) -> None:
        raise InputError(f"{len(some)} texts")

    with threads.using(threads_ or 2):
        loaded.each_part(model, [encoding(n) for n in lengths], seen.append)
        with pytest.raises(InputError, match="texts"):
            loaded.each_part(model, [encoding(n) for n in lengths], fail)
        loaded.each_part(model, [], fail)
    assert sorted(i for some in seen for i in some) == list(range(90))
    assert len(seen) == (sum(lengths) // 100 // 2 * 2 if threads_ else 9)
    ranges = sorted((max(lengths[i] for i in some), min(lengths[i] for i in some)) for some in seen)
    assert all(below[0] <= above[1] for below, above in itertools.pairwise(ranges))


def test_ids_are_checked_for_whoever_makes_inputs(tmp_path: Path) -> None:
    """A vocabulary longer than the table, which loading refuses, and a second text without a type for it."""
    make(tmp_path / "long", "BertForMaskedLM")
    model = api.load(tmp_path / "long")
    vocab = model.tokenizer.vocab
    longer = vocab.extended([AddedToken("<new>", len(vocab))], "test")
    extended = replace(model, tokenizer=Tokenizer(longer))
    for ask in (
        lambda text: extended.encode([text]),
        lambda text: extended.predict(f"{text} [MASK]"),
        lambda text: extended.features([text], ["sequence"]),
        lambda text: extended.embed([text]),
    ):
        ask("ada")
        with pytest.raises(InputError, match=rf"input_ids, row 0, column 2: .* no row {len(vocab)}, as its vocab_size"):
            ask("ada <new>")
    make(tmp_path / "single", "BertForSequenceClassification", type_vocab_size=1)
    single = api.load(tmp_path / "single")
    single.classify("ada")
    with pytest.raises(InputError, match="no pairs and no questions"):
        single.classify("ada", "london")


WORDS = ("ada wrote the book", "rain in london", "who lived where and when in the new city of york ?", "it")


def test_a_batch_in_parts_gives_the_same_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "BertModel")
    texts = [WORDS[i % 4] + " , the" * (i % 5) for i in range(17)]
    model, plain = (api.load(tmp_path, dtype="float32", kernels=kernels) for kernels in (True, False))
    seen: list[int] = []
    shared = model.ops.share

    def share(piece: Any, pieces: int) -> None:
        assert shared is not None
        seen.append(pieces)
        shared(piece, pieces)

    model.ops.share = share
    monkeypatch.setattr(loaded, "PART", 32)
    monkeypatch.setattr(loaded, "LEAST", 32)
    with threads.using(3):
        vectors, embedded = model.encode(texts), model.embed(texts, pooling=("mean", "pooled"))
    assert min(seen) >= 4
    monkeypatch.setattr(loaded, "PART", 10**9)
    monkeypatch.setattr(loaded, "LEAST", 10**9)
    for found, other in ((vectors, model.encode(texts)), (embedded, model.embed(texts, pooling=("mean", "pooled")))):
        np.testing.assert_allclose(found, other, rtol=0, atol=2e-6 * np.abs(other).max())
    np.testing.assert_allclose(vectors, plain.encode(texts), rtol=0, atol=2e-6 * np.abs(vectors).max())
    assert len(seen) == 2
    assert plain.ops.share is None
