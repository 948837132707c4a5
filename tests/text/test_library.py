"""Where the `tokenizers` library's own normaliser differs: the table in `tokenizer.py`, row by row."""

import unicodedata

import pytest

from bertref.text import BasicTokenizer

tokenizers = pytest.importorskip("tokenizers")


def library_words(text: str, lower: bool = True) -> list[str]:
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower)
    words = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))
    return [word for word, _ in words]


MOVED = "\u166d\u1734\u1885\u1886"
"""Characters of Unicode 3.2 that a version after 8 put into another category."""


@pytest.mark.parametrize("lower", [True, False])
def test_equal_on_what_unicode_has_had_since_2002(lower: bool) -> None:
    old = unicodedata.ucd_3_2_0
    characters = [
        chr(code)
        for code in range(0x30000)
        if old.category(chr(code)) not in ("Cn", "Co", "Cs") and chr(code) not in MOVED
    ]
    assert len(characters) > 90_000
    basic = BasicTokenizer(lower)
    for start in range(0, len(characters), 1000):
        text = "\n".join(f"a{char}B" for char in characters[start : start + 1000])
        assert library_words(text, lower) == basic.tokenize(text)


@pytest.mark.parametrize(
    ("text", "ours", "library"),
    [
        ("a\ue000b", ["a\ue000b"], ["ab"]),  # private use
        ("a\u2e55b", ["a", "\u2e55", "b"], ["a\u2e55b"]),  # punctuation of Unicode 14
        ("a\u0898b", ["ab"], ["a\u0898b"]),  # an accent of Unicode 14
        ("a\u08e2b", ["ab"], ["a\u08e2b"]),  # a format character of Unicode 9
        ("a\u166db", ["a\u166db"], ["a", "\u166d", "b"]),
        ("a\u1734b", ["a\u1734b"], ["ab"]),
        ("a\u1885\u1886b", ["ab"], ["a\u1885\u1886b"]),
        ("ΟΔΟΣ", ["οδος"], ["οδοσ"]),
        ("a\U0002b820b", ["a", "\U0002b820", "b"], ["a\U0002b820b"]),
        ("a\U0002b91fb", ["a", "\U0002b91f", "b"], ["a\U0002b91fb"]),
        ("a\U0002b920b", ["a", "\U0002b920", "b"], ["a", "\U0002b920", "b"]),
        ("a\u2028b\x85c\u0378", ["a", "bc\u0378"], ["a", "bc\u0378"]),
    ],
)
def test_each_row_of_the_table(text: str, ours: list[str], library: list[str]) -> None:
    assert BasicTokenizer().tokenize(text) == ours
    assert library_words(text) == library


def test_cased_rows_and_private_use() -> None:
    text = "a\U000111c9b"
    assert BasicTokenizer(False).tokenize(text) == [text]
    assert library_words(text, lower=False) == ["a", "\U000111c9", "b"]
    assert BasicTokenizer(control="Cc+Cf+Co").tokenize("a\ue000b\U0010fffdc") == library_words(
        "a\ue000b\U0010fffdc"
    )


def test_lone_surrogates() -> None:
    assert BasicTokenizer().tokenize("a\ud800b") == ["a\ud800b"]
    with pytest.raises((TypeError, UnicodeEncodeError)):
        library_words("a\ud800b")
