"""Where pieces stand in the original text: accents, ideographs, control characters, and anything else."""

import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from bertref.text import SPECIAL_TOKENS, FullTokenizer, Piece, Tokenizer, Vocab, load_vocab

from .test_bulk import CHARACTERS, OPTIONS, vocab_for

LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789", "σ", "ς", "博", "推", "ᄒ", "ᅡ", "ᆫ", "ß"]
VOCAB = Vocab((*SPECIAL_TOKENS, "caf", "##e", "hello", "'", "-", ".", "[", "]", "mask", *LETTERS,
               *(f"##{char}" for char in LETTERS if char != "e")))  # fmt: skip


def cut(text: str, **options: Any) -> list[tuple[str, str, int]]:
    """(token, what it stands for, word) of every piece."""
    tokenizer = Tokenizer(VOCAB, **options)
    return [(VOCAB.tokens[p.id], text[p.start : p.end], p.word) for p in tokenizer.locate(text)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello café", [("hello", "Hello", 0), ("caf", "caf", 1), ("##e", "é", 1)]),
        ("cafe\u0301!", [("caf", "caf", 0), ("##e", "e\u0301", 0), ("[UNK]", "!", 1)]),
        (" \u200bhel\u00adlo\ufffd  ", [("hello", "hel\u00adlo", 0)]),
        ("a博b", [("a", "a", 0), ("博", "博", 1), ("b", "b", 2)]),
        ("\u0130x", [("i", "\u0130", 0), ("##x", "x", 0)]),
        ("한x", [("ᄒ", "한", 0), ("##ᅡ", "한", 0), ("##ᆫ", "한", 0), ("##x", "x", 0)]),
        ("xΣ Σx", [("x", "x", 0), ("##ς", "Σ", 0), ("σ", "Σ", 1), ("##x", "x", 1)]),
        ("a [MASK]b\u0323", [("a", "a", 0), ("[MASK]", "[MASK]", 1), ("b", "b\u0323", 2)]),
        ("[mask]", [("[", "[", 0), ("mask", "mask", 1), ("]", "]", 2)]),
        ("O'Neil-zébre ₤", [("o", "O", 0), ("'", "'", 1), ("n", "N", 2), ("##e", "e", 2), ("##i", "i", 2),
                            ("##l", "l", 2), ("-", "-", 3), ("z", "z", 4), ("##e", "é", 4), ("##b", "b", 4),
                            ("##r", "r", 4), ("##e", "e", 4), ("[UNK]", "₤", 5)]),
        ("", []),
        ("\u0301 \u200b", []),
    ],
)  # fmt: skip
def test_places(text: str, pieces: list[tuple[str, str, int]]) -> None:
    assert cut(text) == pieces


def test_special_tokens_are_text_on_request() -> None:
    found = Tokenizer(VOCAB).locate("a[MASK]", specials=False)
    assert [VOCAB.tokens[p.id] for p in found] == ["a", "[", "mask", "]"]
    assert [p.word for p in found] == [0, 1, 2, 3]


def test_words_too_long_and_unknown_words_are_one_piece() -> None:
    tokenizer = Tokenizer(VOCAB, max_chars_per_word=4)
    a = VOCAB.ids["a"]
    assert tokenizer.locate("hello héé€xyz a") == [Piece(1, 0, 5, 0), Piece(1, 6, 13, 1), Piece(a, 14, 15, 2)]


TEXT = st.text(CHARACTERS, max_size=40)


@given(TEXT, OPTIONS, st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
@example("a\u0327\u0301\u302e\u0345b", {"lower_case": True, "strip_accents": True, "tokenize_chinese_chars": True,
                                        "control": "C", "max_chars_per_word": 200}, [1], True)  # fmt: skip
@example("a\u302e\U0001d165b", {"lower_case": True, "strip_accents": True, "tokenize_chinese_chars": True,
                               "control": "C", "max_chars_per_word": 200}, [1], True)  # fmt: skip
@example("ΑΣ\u0301 ΣΑΣ", {"lower_case": True, "strip_accents": False, "tokenize_chinese_chars": True,
                          "control": "C", "max_chars_per_word": 200}, [2], False)  # fmt: skip
def test_the_pieces_are_the_tokenizers(text: str, options: dict[str, Any], cuts: list[int], specials: bool) -> None:
    vocab = vocab_for([text], cuts, options)
    pieces = Tokenizer(vocab, **options).locate(text, specials=specials)
    readable = FullTokenizer(vocab, options.pop("lower_case"), **options)
    tokens = readable.tokenize(text, specials=specials)
    assert [vocab.tokens[p.id] for p in pieces] == tokens
    assert all(0 <= p.start < p.end <= len(text) for p in pieces)
    for one, other in pairwise(pieces):
        assert one.start <= other.start
        assert one.end <= other.end
        assert other.word in (one.word, one.word + 1)
        assert other.word == one.word or one.end <= other.start  # words don't overlap
        assert (other.word == one.word) == vocab.tokens[other.id].startswith("##")
    assert not pieces or pieces[0].word == 0


@given(TEXT)
def test_what_a_piece_stands_for_is_spelt_like_it(text: str) -> None:
    """Lower-cased and without accents, `text[start:end]` holds the piece's letters."""
    vocab = vocab_for([text], [1, 2], {"lower_case": True})
    tokenizer = Tokenizer(vocab)
    for piece in tokenizer.locate(text, specials=False):
        token = vocab.tokens[piece.id].removeprefix("##")
        if token == "[UNK]":
            continue
        plain = unicodedata.normalize("NFD", text[piece.start : piece.end].lower()).replace("ς", "σ")
        rest = iter(plain)
        assert all(char in rest for char in token.replace("ς", "σ"))  # in this order


def test_places_are_those_of_the_library_on_real_text(data_dir: Path) -> None:
    """The `tokenizers` library tracks places through its own normaliser; on plain text both must agree."""
    transformers = pytest.importorskip("transformers")
    path = data_dir / "data" / "vocab" / "uncased_from_llSiddharthll.txt"
    library = transformers.BertTokenizerFast(vocab=str(path), do_lower_case=True)
    tokenizer = Tokenizer(load_vocab(path))
    lines = (data_dir / "data" / "google_sample_text.txt").read_text(encoding="utf-8").splitlines()
    compared = 0
    for line in lines:
        theirs = library(line, add_special_tokens=False, return_offsets_mapping=True)
        ours = tokenizer.locate(line)
        assert [p.id for p in ours] == theirs["input_ids"]
        assert [(p.start, p.end) for p in ours] == [tuple(pair) for pair in theirs["offset_mapping"]]
        compared += len(ours)
    assert compared > 1000
