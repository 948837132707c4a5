"""Labels of the schemes BIOES, BILOU and BMES join to entities; "E-PER" and "S-PER" stood beside "PER"."""

import json
from pathlib import Path

import numpy as np
import pytest

from .asking import bertref
from .models import SPECIALS, model

WORDS = "anna smith met bob in new york city near lake erie , and . ##s".split()
TEXT = "Anna Smith met Bob in New York City near Lake Eries and Bob, Bob."
BIOES = {
    "anna": "B-PER", "smith": "E-PER", "bob": "S-PER", "new": "B-LOC", "york": "I-LOC", "city": "E-LOC",
    "lake": "B-LOC", "erie": "E-LOC",
}  # fmt: skip
SCHEMES = {"BIOES": {}, "BILOU": {"E": "L", "S": "U"}, "BMES": {"I": "M"}}


def tagger(folder: Path, tags: dict[str, str], *more: str) -> Path:
    """A model that gives every word its label: the classifier reads the word's own embedding. `more` are labels that no
    word has."""
    labels = ["O", *sorted({*tags.values(), *more})]
    vocabulary = [*SPECIALS, *WORDS]

    def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("word_embeddings.weight"):
            return np.eye(*shape)
        values = np.full(shape, 1.0 if name.endswith("LayerNorm.weight") else 0.0)
        if name == "classifier.weight":
            for i, word in enumerate(vocabulary):
                values[labels.index(tags.get(word, "O")), i] = 3
        return values

    return model(folder, "BertForTokenClassification", WORDS, labels=labels, weights=weights,
                 hidden_size=len(vocabulary), num_attention_heads=1)  # fmt: skip


def found(folder: Path, text: str = TEXT) -> list[tuple[str, str]]:
    done = bertref("predict", "--json", "--model", folder, text)
    assert done.returncode == 0, done.stderr
    spans = json.loads(done.stdout)["spans"]
    assert all(span["text"] == text[span["start"] : span["end"]] for span in spans)
    return [(span["label"], span["text"]) for span in spans]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_join_to_entities(scheme: str, tmp_path: Path) -> None:
    tags = {word: SCHEMES[scheme].get(tag[0], tag[0]) + tag[1:] for word, tag in BIOES.items()}
    assert found(tagger(tmp_path / "m", tags)) == [
        ("PER", "Anna Smith"), ("PER", "Bob"), ("LOC", "New York City"), ("LOC", "Lake Eries"), ("PER", "Bob"),
        ("PER", "Bob"),
    ]  # fmt: skip


def test_a_sequence_that_breaks_the_rules_still_gives_entities(tmp_path: Path) -> None:
    """A last word without a first one, a word inside behind a last one, a kind that changes midway."""
    tags = {"anna": "E-PER", "smith": "I-PER", "bob": "I-LOC", "new": "S-LOC", "york": "I-LOC", "city": "E-PER"}
    assert found(tagger(tmp_path / "m", tags, "B-PER", "B-LOC"), "Anna Smith Bob met New York City.") == [
        ("PER", "Anna"), ("PER", "Smith"), ("LOC", "Bob"), ("LOC", "New"), ("LOC", "York"), ("PER", "City"),
    ]  # fmt: skip


def test_people_see_the_entities(tmp_path: Path) -> None:
    done = bertref("predict", "--model", tagger(tmp_path / "m", BIOES), TEXT)
    assert done.returncode == 0, done.stderr
    assert "New York City" in done.stdout
    assert "E-LOC" not in done.stdout
