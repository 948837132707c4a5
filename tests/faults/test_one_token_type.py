"""A model with one token type is told in a sentence that it can't read a second text; that was an IndexError."""

from pathlib import Path

import pytest

import bertref as library

from .asking import bertref
from .models import model

WORDS = "the of and in who ? .".split()


def one_type(folder: Path, kind: str) -> Path:
    return model(folder, f"BertFor{kind}", WORDS, type_vocab_size=1)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("QuestionAnswering", ["predict", "--question", "the of", "--context", "and in the of"]),
        ("SequenceClassification", ["predict", "the of", "--pair", "and in"]),
        ("NextSentencePrediction", ["predict", "the of", "--pair", "and in"]),
        ("MultipleChoice", ["predict", "the of", "--choice", "and", "--choice", "in"]),
        ("MaskedLM", ["features", "the of ||| and in"]),
    ],
)
def test_a_second_text_is_refused_in_a_sentence(kind: str, arguments: list[str], tmp_path: Path) -> None:
    command, *rest = arguments
    done = bertref(command, "--model", one_type(tmp_path / "m", kind), *rest)
    assert done.returncode == 2
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if "model.safetensors" not in line]
    assert len(said) == 1, done.stderr
    assert "type_vocab_size" in said[0]
    assert "no pairs and no questions" in said[0]


def test_python_says_so_too(tmp_path: Path) -> None:
    classifier = library.load(one_type(tmp_path / "m", "SequenceClassification"))
    assert len(classifier.classify("the of")) == 2
    with pytest.raises(library.InputError, match="type_vocab_size"):
        classifier.classify("the of", "and in")
    with pytest.raises(library.InputError, match="type_vocab_size"):
        classifier.classify_batch(["the of"] * 100, ["and in"] * 100)
