"""Tokenizers learnt from text: what they are like, that they open in transformers, that nothing is left to chance."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers

from bertref.errors import InputError
from bertref.text import Tokenizer, train_tokenizer

from .parity import assert_equal
from .sample_texts import sample_texts
from .trained import described, lines, saved_for_transformers

FAMILY = {"byte-level": "roberta", "unigram": "albert"}


@pytest.fixture(scope="module")
def texts(data_dir: Path) -> tuple[str, ...]:
    return lines(data_dir / "data" / "english_novels.tar.gz")


@pytest.fixture(scope="module", params=FAMILY)
def tokenizer(request: pytest.FixtureRequest, texts: tuple[str, ...]) -> Tokenizer:
    """One of each kind."""
    return train_tokenizer(iter(texts), 900, request.param)


def test_the_familys_ids(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.vocab.tokens
    assert len(tokens) == 900
    if tokenizer.vocab.notation.style == "byte-level":
        assert tokens[:4] == ("<s>", "<pad>", "</s>", "<unk>")
        assert tokens[-1] == "<mask>"
    else:
        assert tokens[:5] == ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    assert tokenizer.tokenize("the man") == tokenizer.tokenize("the") + tokenizer.tokenize("man")


def test_it_opens_in_transformers(tokenizer: Tokenizer, tmp_path: Path) -> None:
    name = FAMILY[tokenizer.vocab.notation.style]
    saved = saved_for_transformers(tokenizer, tmp_path / "saved", described(tmp_path / "config", name))
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    assert type(theirs).__name__.lower() == f"{name}tokenizer"
    assert_equal(tokenizer, theirs, sample_texts(100, seed=9))
    assert Tokenizer.from_pretrained(saved).vocab == tokenizer.vocab


def test_pieces_are_the_texts_own(tokenizer: Tokenizer, texts: tuple[str, ...]) -> None:
    """Frequent words are single pieces, and a text takes far fewer pieces than it has characters."""
    assert len(tokenizer.tokenize("the")) == 1
    some = texts[100:200]
    assert sum(map(len, tokenizer.ids_batch(some))) < 0.5 * sum(map(len, some))


@pytest.mark.parametrize("kind", FAMILY)
def test_the_same_texts_give_the_same_vocabulary_on_any_number_of_threads(
    kind: str, texts: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_bytes("\n".join(texts[:150]).encode())
    code = (
        "import pathlib, sys; from bertref.text import train_tokenizer; "
        f"texts = pathlib.Path({str(tmp_path / 'texts.txt')!r}).read_bytes().decode().split('\\n'); "
        f"sys.stdout.write(train_tokenizer(texts, 400, {kind!r}).vocab.sha256)"
    )
    hashes = [train_tokenizer(texts[:150], 400, kind).vocab.sha256]
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"RAYON_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        hashes.append(done.stdout)
    assert len(set(hashes)) == 1


def test_case_and_accents(texts: tuple[str, ...]) -> None:
    cased, uncased = (train_tokenizer(texts[:200], 400, "unigram", lower_case=lower) for lower in (False, True))
    assert cased.tokenize("Die é") != cased.tokenize("die e")
    assert uncased.tokenize("Die é") == uncased.tokenize("die e")
    assert (cased.lower_case, uncased.lower_case) == (False, True)
    assert train_tokenizer(texts[:50], 300, "wordpiece").lower_case is True


def test_what_is_refused(texts: tuple[str, ...]) -> None:
    for kind in FAMILY:
        with pytest.raises(InputError, match="there is no text to learn a vocabulary from"):
            train_tokenizer(["", " \n"], 400, kind)
        with pytest.raises(InputError, match="a vocabulary of 6 tokens is too small"):
            train_tokenizer(texts[:5], 6, kind)
    with pytest.raises(InputError, match="the kind of vocabulary is 'char'"):
        train_tokenizer(texts[:5], 400, "char")

    def interrupted() -> Iterator[str]:
        yield "some text"
        raise InputError("page 7: can't be read")

    with pytest.raises(InputError, match="page 7"):
        train_tokenizer(interrupted(), 400, "unigram")
