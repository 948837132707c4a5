"""Labels of tokens, words and entities against transformers' pipeline; long texts; places in the original."""

from pathlib import Path

import numpy as np
import pytest
import torch

import bertref
from bertref.inference.token_classification import Span

from .saved import TEXT, VOCAB, labels, make, pipeline

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
PLAIN = ["Ada Lovelace lived in London, in 1852.", "It rained; he went to New York (the city).", "x", "book book"]


def test_tokens_and_entities_are_those_of_the_pipeline(tmp_path: Path) -> None:
    compared, seen = 0, set[str]()
    for seed in range(4):
        folder = tmp_path / str(seed)
        network = make(folder, "BertForTokenClassification", seed=seed, **labels(*NAMES))
        model = bertref.load(folder, dtype="float64")
        tokens = pipeline("ner", folder, network, aggregation_strategy="none", ignore_labels=[])
        grouped = pipeline("ner", folder, network, aggregation_strategy="first")
        for text in PLAIN:
            for name, want in (("tokens", tokens(text)), ("entities", grouped(text))):
                found = model.tag(text, aggregation=name)  # type: ignore[arg-type]
                key = "entity" if name == "tokens" else "entity_group"
                assert [(s.start, s.end, s.label) for s in found] == [(w["start"], w["end"], w[key]) for w in want]
                assert [s.score for s in found] == pytest.approx([w["score"] for w in want], rel=1e-5)
                assert all(s.text == text[s.start : s.end] for s in found)
                compared += len(found)
                seen |= {s.label for s in found}
    assert compared > 150
    assert seen >= {*NAMES, "PER", "LOC"}


def test_a_word_has_the_label_of_its_first_piece(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForTokenClassification", **labels(*NAMES))
    model = bertref.load(tmp_path / "m", dtype="float64")
    text = "Zoë's café -- Lovelace naïve"
    tokens, words = (model.tag(text, aggregation=name) for name in ("tokens", "words"))
    assert [w.text for w in words] == ["Zoë", "'", "s", "café", "-", "-", "Lovelace", "naïve"]
    starts = {token.start: token for token in tokens}
    assert [(w.label, w.score) for w in words] == [(starts[w.start].label, starts[w.start].score) for w in words]
    assert len(tokens) > len(words)


def test_entities_are_chosen_where_labels_have_prefixes(tmp_path: Path) -> None:
    make(tmp_path / "bio", "BertForTokenClassification", **labels(*NAMES))
    make(tmp_path / "pos", "BertForTokenClassification", **labels("NOUN", "VERB"))
    bio, pos = (bertref.load(tmp_path / name) for name in ("bio", "pos"))
    assert bio.tag(TEXT) == bio.tag(TEXT, aggregation="entities")
    assert pos.tag(TEXT) == pos.tag(TEXT, aggregation="words")
    with pytest.raises(bertref.InputError, match="aggregation is 'max'; it must be one of tokens, words, entities"):
        pos.tag("x", aggregation="max")


@pytest.mark.parametrize(
    ("tags", "groups"),
    [
        ("B-PER I-PER O B-PER", [(0, 2, "PER"), (3, 4, "PER")]),
        ("B-PER B-PER I-LOC", [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "LOC")]),
        ("I-PER I-PER O O I-PER", [(0, 2, "PER"), (4, 5, "PER")]),
        ("O O", []),
        ("NP NP VP O NP", [(0, 2, "NP"), (2, 3, "VP"), (4, 5, "NP")]),
        ("B-A-B I-A-B B-A", [(0, 2, "A-B"), (2, 3, "A")]),
    ],
)
def test_prefixes_group_words(tags: str, groups: list[tuple[int, int, str]]) -> None:
    from bertref.inference.token_classification import _entities

    names = tags.split()
    text = " ".join("w" * 3 for _ in names)
    words = [Span("www", 4 * i, 4 * i + 3, name, 0.5 + 0.1 * i) for i, name in enumerate(names)]
    want = [
        (text[4 * a : 4 * b - 1], 4 * a, 4 * b - 1, kind, pytest.approx(np.mean([0.5 + 0.1 * i for i in range(a, b)])))
        for a, b, kind in groups
    ]
    assert [tuple(span) for span in _entities(text, words)] == want


@pytest.mark.parametrize(
    ("names", "letters"),
    [
        ("O B-PER I-PER", "BI"),
        ("O B-PER I-PER E-PER S-LOC", "BIMES"),
        ("O B-A L-A", "BILU"),
        ("O B-A M-A E-A S-A", "BIMES"),
        ("S-Bahn U-Bahn B-LOC", "BI"),
        ("O I-A E-A", "BIMES"),
        ("NP VP X-A B-A", "BI"),
    ],
)
def test_a_letter_is_read_where_the_labels_use_it(names: str, letters: str) -> None:
    from bertref.inference.token_classification import letters_of

    assert letters_of(names.split()) == set(letters)


def test_long_texts_are_seen_through_windows(tmp_path: Path) -> None:
    """Every piece's probabilities are transformers' for the window in which it has most context."""
    network = make(tmp_path / "m", "BertForTokenClassification", positions=12, **labels(*NAMES))
    model = bertref.load(tmp_path / "m", dtype="float64")
    pieces = model.tokenizer.locate(TEXT)
    found = model.tag(TEXT, aggregation="tokens")
    assert [(s.start, s.end) for s in found] == [(p.start, p.end) for p in pieces]
    n, room, stride = len(pieces), 10, 5
    assert n > 60
    starts = [*range(0, n - room, stride), (n - room + stride - 1) // stride * stride]
    for i, span in enumerate(found):
        inside = [s for s in starts if s <= i < min(s + room, n)]
        start = max(inside, key=lambda s: min(i - s, min(s + room, n) - 1 - i) + 0.01 * (min(s + room, n) - s))
        ids = [VOCAB.cls, *(p.id for p in pieces[start : start + room]), VOCAB.sep]
        with torch.no_grad():
            want = network(torch.tensor([ids])).logits.softmax(-1)[0, 1 + i - start].numpy()
        assert span.label == NAMES[int(want.argmax())]
        assert span.score == pytest.approx(float(want.max()), rel=1e-11)
    assert len({span.label for span in found}) > 2
    batch = model.tag_batch(["x", TEXT, ""], aggregation="tokens")[1]
    assert [s[:4] for s in batch] == [s[:4] for s in found]
    assert [s.score for s in batch] == pytest.approx([s.score for s in found], rel=1e-12)
    assert model.tag("") == []
