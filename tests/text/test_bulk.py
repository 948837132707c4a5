"""The fast tokenizer gives what the readable one gives, for every text."""

import sys
import time
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref.text import BasicTokenizer, FullTokenizer, Tokenizer, Vocab, bulk
from bertref.text.vocab import SPECIAL_TOKENS

from .test_full import GOLDENS, PIECES, load_parity

STRANGE = (
    "\0\x07\x0b\x0c\x1c\x85\u00a0\u00ad\u0130\u0345\u03a3\u03c2\u037e\u0378\u1fef\u1e9e\u01c5\u0301\u0327\u200b\u2028"
    "\u2029\u3000\u4e00\u9fff\ud55c\ud800\udfff\ue000\ufb01\ufeff\ufffd\U0001f4a9\U0002b820\U0010ffff"
    "'\"[]#$. \n\tAaBbZz"
)
CHARACTERS = st.one_of(
    st.sampled_from(STRANGE), st.sampled_from("abAB .#"), st.characters(exclude_categories=())
)
TEXTS = st.lists(st.text(CHARACTERS, max_size=30), max_size=6)
OPTIONS = st.fixed_dictionaries(
    {
        "lower_case": st.booleans(),
        "strip_accents": st.sampled_from([None, True, False]),
        "tokenize_chinese_chars": st.booleans(),
        "control": st.sampled_from(["Cc+Cf", "Cc+Cf+Co", "C"]),
        "max_chars_per_word": st.sampled_from([1, 3, 200]),
    }
)


def readable(vocab: Vocab, texts: Sequence[str], **options: Any) -> list[list[int]]:
    tokenizer = FullTokenizer(vocab, options.pop("lower_case", True), **options)
    return [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in texts]


def vocab_for(texts: Sequence[str], cuts: Sequence[int], options: dict[str, Any]) -> Vocab:
    """A vocabulary that spells some of the words and not others, in long pieces and short."""
    names = {name: value for name, value in options.items() if name != "max_chars_per_word"}
    basic = BasicTokenizer(names.pop("lower_case"), **names)
    pieces: dict[str, None] = dict.fromkeys(SPECIAL_TOKENS)
    words = [word for text in texts for word in basic.tokenize(text)]
    for number, word in enumerate(words):
        cut = cuts[number % len(cuts)]
        pieces |= dict.fromkeys([word[: cut + 1], "##" + word[cut + 1 :], "##" + word[:cut]])
    ours = [
        piece
        for piece in pieces
        if piece == piece.strip() and not any("\ud800" <= c <= "\udfff" for c in piece)
    ]
    return Vocab(tuple(piece for piece in ours if piece and "\n" not in piece and "\r" not in piece))


@given(texts=TEXTS, options=OPTIONS, cuts=st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_equal_on_arbitrary_unicode(texts: list[str], options: dict[str, Any], cuts: list[int]) -> None:
    vocab = vocab_for(texts, cuts, options)
    assert Tokenizer(vocab, **options).ids_batch(texts) == readable(vocab, texts, **options)


@given(texts=TEXTS, options=OPTIONS)
def test_equal_words_on_arbitrary_unicode(texts: list[str], options: dict[str, Any]) -> None:
    names = {name: value for name, value in options.items() if name != "max_chars_per_word"}
    words = bulk.Words(**names).split(texts)
    basic = BasicTokenizer(names.pop("lower_case"), **names)
    expected: list[str] = []
    for number, text in enumerate(texts):
        expected += ([bulk.SEPARATOR] if number else []) + basic.tokenize(text)
    assert words == expected


def code_points(stride: int) -> list[str]:
    """Every code point outside of the big uniform ranges, and one in `stride` of those."""
    uniform = ("Lo", "Co", "Cn", "Cs")
    return [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if code % stride == 0 or unicodedata.category(chr(code)) not in uniform
    ]


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("stride", [50, pytest.param(1, marks=pytest.mark.slow)])
def test_equal_on_every_code_point(stride: int, lower: bool) -> None:
    texts = [f"a{char}B" for char in code_points(stride)]
    assert len(texts) > 30_000
    words = bulk.Words(
        lower_case=lower, strip_accents=None, tokenize_chinese_chars=True, control="Cc+Cf"
    ).split(texts)
    basic = BasicTokenizer(lower)
    expected = [word for text in texts for word in [*basic.tokenize(text), bulk.SEPARATOR]][:-1]
    assert words == expected


def test_goldens() -> None:
    for lower, text, pieces in GOLDENS:
        assert Tokenizer(PIECES, lower_case=lower).tokenize(text) == pieces.split()


def test_questions(bert_vocab: Vocab, data_dir: Path) -> None:
    questions, ids = load_parity(data_dir)
    assert Tokenizer(bert_vocab).ids_batch([question["original"] for question in questions]) == ids


def test_flat_form_and_empty_texts(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab)
    texts = ["", "the fox jumps", "", " \x07", "running", ""]
    ids, bounds = tokenizer.ids_arrays(iter(texts))
    assert ids.dtype == np.int32
    assert bounds.tolist() == [0, 0, 4, 4, 4, 6, 6]
    assert tokenizer.ids_batch(texts) == readable(small_vocab, texts)
    assert tokenizer.ids_batch([]) == []
    assert [len(part) for part in tokenizer.ids_arrays([])] == [0, 1]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_and_a_small_table_change_nothing(
    block: int, small_vocab: Vocab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BLOCK", block)
    monkeypatch.setattr(bulk, "MOST_WORDS", 3)
    texts = ["The quick, brown fox.", "", "brown fox's ΟΔΟΣ", "x" * 300, "the the the"] * 3
    assert Tokenizer(small_vocab).ids_batch(texts) == readable(small_vocab, texts)


def test_many_different_special_characters(small_vocab: Vocab) -> None:
    text = (
        "the "
        + "".join(map(chr, range(0x4E00, 0x4E00 + 3 * bulk.FEW)))
        + " fox"
        + "!?;:,.()[]{}<>@#$%^&*_+-=/|\\`~\"'"
    )
    assert Tokenizer(small_vocab).ids_batch([text]) == readable(small_vocab, [text])


def test_long_words_are_not_kept(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab)
    assert tokenizer.ids_batch(["the" + "x" * 1000 + " fox"]) == [[small_vocab.unk, small_vocab.ids["fox"]]]
    assert not any(len(word) > 200 for word in tokenizer._segmenter._pieces._numbers)


def test_forgotten_words_are_learnt_again(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab)
    first = tokenizer.ids_batch(["the new york", "unaffable"])
    known = len(tokenizer._segmenter._pieces._numbers)
    tokenizer.forget_words()
    assert len(tokenizer._segmenter._pieces._numbers) == 1 < known
    assert tokenizer.ids_batch(["the new york", "unaffable"]) == first
    assert len(tokenizer._segmenter._pieces._numbers) == known


def test_an_interrupt_leaves_the_table_usable(small_vocab: Vocab, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer(small_vocab)
    tokenizer.ids_batch(["the"])
    library = tokenizer._segmenter._pieces._library()

    class Interrupted:
        def encode_batch_fast(self, words: list[str], **options: Any) -> Any:
            yield library.encode_batch_fast(words, **options)[0]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tokenizer._segmenter._pieces, "_library", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            tokenizer.ids_batch(["quick brown"])
    assert tokenizer.ids_batch(["brown the fox"]) == readable(small_vocab, ["brown the fox"])


def test_threads_share_a_tokenizer(small_vocab: Vocab, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer(small_vocab)
    learn = tokenizer._segmenter._pieces._learn
    inside = 0

    def slow_learn() -> None:
        nonlocal inside
        inside += 1
        assert inside == 1, "two threads change the table at once"
        time.sleep(0.001)
        learn()
        inside -= 1

    monkeypatch.setattr(tokenizer._segmenter._pieces, "_learn", slow_learn)
    texts = [f"the fox{number % 97} jumps over {number}" for number in range(400)]
    parts = [texts[start : start + 50] for start in range(0, len(texts), 50)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(tokenizer.ids_batch, parts))
    assert [ids for part in results for ids in part] == readable(small_vocab, texts)
