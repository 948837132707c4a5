"""Word pieces: the original's own test, written anew, and the laws that define the algorithm."""

import hypothesis.strategies as st
from hypothesis import given

from bertref.text import WordpieceTokenizer

PIECES = ["[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing"]


def test_the_original_vectors() -> None:
    tokenizer = WordpieceTokenizer(PIECES)
    assert tokenizer.tokenize("") == []
    assert tokenizer.tokenize("unwanted running") == ["un", "##want", "##ed", "runn", "##ing"]
    assert tokenizer.tokenize("unwantedX running") == ["[UNK]", "runn", "##ing"]


def test_long_words() -> None:
    pieces = {"a", "##a"}
    assert WordpieceTokenizer(pieces).tokenize("a" * 200) == ["a"] + ["##a"] * 199
    assert WordpieceTokenizer(pieces).tokenize("a" * 201) == ["[UNK]"]
    assert WordpieceTokenizer(pieces, max_chars_per_word=100).tokenize("a" * 101 + " a") == ["[UNK]", "a"]


@given(
    word=st.text("abc", min_size=1, max_size=12),
    heads=st.sets(st.text("abc", min_size=1, max_size=4)),
    tails=st.sets(st.text("abc", min_size=1, max_size=4)),
)
def test_greedy_laws(word: str, heads: set[str], tails: set[str]) -> None:
    pieces = WordpieceTokenizer(heads | {"##" + tail for tail in tails}).pieces(word)

    def longest(rest: str, known: set[str]) -> str | None:
        fitting = [piece for piece in known if rest.startswith(piece)]
        return max(fitting, key=len) if fitting else None

    expected: list[str] = []
    rest = word
    while rest:
        piece = longest(rest, tails if expected else heads)
        if piece is None:
            expected = ["[UNK]"]
            break
        expected.append("##" + piece if expected else piece)
        rest = rest[len(piece) :]
    assert pieces == expected
