"""Learning a vocabulary: against a plain implementation, on any number of threads, at its limits."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bertref.errors import InputError
from bertref.text import SPECIAL_TOKENS, BasicTokenizer, Tokenizer, train_vocab, training


def plain_training(
    counts: Mapping[str, int], pieces: Sequence[str], size: int, min_frequency: int
) -> list[str]:
    """Byte-pair merging as a definition: count all pairs, merge the most frequent, and again."""
    tokens = [*SPECIAL_TOKENS, *pieces]
    ids = {token: number for number, token in enumerate(tokens)}
    words = [
        ([word[0], *("##" + char for char in word[1:])], count) for word, count in sorted(counts.items())
    ]
    while len(tokens) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words:
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        if pairs[best] < min_frequency:
            break
        merged = best[0] + best[1].removeprefix("##")
        if merged not in ids:
            ids[merged] = len(tokens)
            tokens.append(merged)
        for word, _ in words:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = [merged]
                at += 1
    return tokens


@given(
    text=st.lists(st.text("abcd", min_size=1, max_size=6), min_size=1, max_size=40),
    size=st.integers(13, 60),
    frequency=st.integers(1, 4),
)
def test_equal_to_plain_training(text: list[str], size: int, frequency: int) -> None:
    counts = Counter(text)
    characters = sorted(set("".join(text)))
    pieces = [*characters, *("##" + char for char in characters)]
    expected = plain_training(counts, pieces, size, frequency)
    assert list(train_vocab([" ".join(text)], size, min_frequency=frequency).tokens) == expected


CORPUS = """
import sys, hashlib
from pydoc_data.topics import topics
from bertref.text import train_vocab
texts = [line for name in sorted(topics) for line in topics[name].split("\\n")]
print(train_vocab(iter(texts), 3000).sha256)
"""


def test_same_vocabulary_in_every_process_on_any_number_of_threads() -> None:
    hashes = []
    for threads, seed in (("1", "0"), ("2", "1"), ("5", "2")):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        result = subprocess.run(
            [sys.executable, "-c", CORPUS], env=environment, check=True, capture_output=True, text=True
        )
        hashes.append(result.stdout)
    assert len(set(hashes)) == 1
    assert len(hashes[0].strip()) == 64


def test_real_text() -> None:
    topics = pytest.importorskip("pydoc_data.topics").topics
    texts = [topics[name] for name in sorted(topics)]
    vocab = train_vocab(texts, 2000)
    assert len(vocab) == 2000
    assert vocab.tokens[:5] == SPECIAL_TOKENS
    ids, _ = Tokenizer(vocab).ids_arrays(texts)
    words = sum(len(BasicTokenizer().tokenize(text)) for text in texts)
    assert vocab.unk not in ids
    assert words < len(ids) < 1.6 * words
    assert "function" in vocab.ids
    assert not any(token != token.lower() for token in vocab.tokens[5:])


def test_a_little_text() -> None:
    text = "the cat sat on the mat. the cat ran. " * 20
    vocab = train_vocab([text], 1000)
    assert len(vocab) < 60
    assert {"the", "cat", "##at", "."} <= set(vocab.tokens)
    assert "##." not in vocab.ids
    assert vocab.unk not in Tokenizer(vocab).ids_batch([text])[0]
    assert train_vocab(["a"], 7).tokens == (*SPECIAL_TOKENS, "a", "##a")


def test_case_and_accents() -> None:
    assert {"A", "É"} <= set(train_vocab(["A É"], 20, lower_case=False).tokens)
    assert {"a", "e"} == set(train_vocab(["A É"], 20).tokens) - set(SPECIAL_TOKENS) - {"##a", "##e"}
    assert "é" in train_vocab(["A É"], 20, strip_accents=False).ids


def test_rare_characters_give_way() -> None:
    text = "aaaa aaaa bbb cc d"
    assert train_vocab([text], 100, alphabet=2).tokens[5:9] == ("a", "b", "##a", "##b")
    assert not {"c", "d"} & set(train_vocab([text], 100, alphabet=2).tokens)
    assert train_vocab([text], 9).tokens == (*SPECIAL_TOKENS, "a", "b", "##a", "##b")


@pytest.mark.parametrize("alone", [True, False])
def test_ideographs_continue_words_only_where_they_are_not_split_off(alone: bool) -> None:
    vocab = train_vocab(["博推 博推 推博 推博!"], 50, tokenize_chinese_chars=alone)
    expected = ["!", "博", "推"] if alone else ["!", "博", "推", "##博", "##推", "博推", "推博"]
    assert list(vocab.tokens[5:]) == sorted(expected[:3]) + expected[3:]


def test_special_tokens_in_the_text_are_text() -> None:
    vocab = train_vocab(["[MASK] [SEP] [MASK]"] * 5, 100)
    assert vocab.tokens.count("[MASK]") == 1
    assert "mask" in vocab.ids
    assert "[" in vocab.ids


def test_unreadable_words_are_left_out() -> None:
    vocab = train_vocab(["ab ab \ud800x " + "y" * 201 + " ab"], 50)
    assert not {"x", "y"} & set(vocab.tokens)


def test_rare_words_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MOST_WORDS", 50)
    monkeypatch.setattr("bertref.text.bulk.BLOCK", 100)
    texts = [f"often often w{number}" for number in range(500)]
    assert "often" in train_vocab(texts, 200).ids


def test_bad_input() -> None:
    for texts in ([], ["", " \n", "\x07"]):
        with pytest.raises(InputError, match="no text"):
            train_vocab(texts, 100)
    with pytest.raises(InputError, match="6 tokens is too small"):
        train_vocab(["a"], 6)
    with pytest.raises(InputError, match="min_frequency 0"):
        train_vocab(["a"], 100, min_frequency=0)
