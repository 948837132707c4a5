"""Words: the original's own tests, written anew, and every option."""

import pytest

from bertref.errors import InputError
from bertref.text import BasicTokenizer
from bertref.text.basic import is_chinese_char, is_control, is_punctuation, is_whitespace, to_unicode


def test_lower_case() -> None:
    tokenizer = BasicTokenizer()
    assert tokenizer.tokenize(" \tHeLLo!how  \n Are yoU?  ") == ["hello", "!", "how", "are", "you", "?"]
    assert tokenizer.tokenize("H\u00e9llo") == ["hello"]
    assert tokenizer.tokenize("") == tokenizer.tokenize(" \n\u3000") == []


def test_cased() -> None:
    tokenizer = BasicTokenizer(lower_case=False)
    assert tokenizer.tokenize(" \tHeLLo!how  \n Are yoU?  ") == ["HeLLo", "!", "how", "Are", "yoU", "?"]
    assert tokenizer.tokenize("H\u00e9llo") == ["H\u00e9llo"]


def test_accents_by_themselves() -> None:
    assert BasicTokenizer(True, strip_accents=False).tokenize("HÉ") == ["hé"]
    assert BasicTokenizer(False, strip_accents=True).tokenize("HÉ") == ["HE"]


def test_chinese() -> None:
    assert BasicTokenizer().tokenize("ah\u535a\u63a8zz") == ["ah", "\u535a", "\u63a8", "zz"]
    assert BasicTokenizer(tokenize_chinese_chars=False).tokenize("ah\u535a\u63a8zz") == ["ah\u535a\u63a8zz"]
    assert BasicTokenizer(strip_accents=False).tokenize("한글 かな") == ["한글", "かな"]


def test_never_split() -> None:
    tokenizer = BasicTokenizer(never_split=["[MASK]"])
    assert tokenizer.tokenize("A [MASK] B[MASK]") == ["a", "[MASK]", "b", "[", "mask", "]"]


def test_punctuation_between_words() -> None:
    assert BasicTokenizer().tokenize("don't--$5,000…") == [
        "don",
        "'",
        "t",
        "-",
        "-",
        "$",
        "5",
        ",",
        "000",
        "…",
    ]


def test_controls() -> None:
    text = "a\x07b c\u200bd e\x85f g\x0ch i\ufffdj k\x00l"
    assert BasicTokenizer().tokenize(text) == ["ab", "cd", "ef", "gh", "ij", "kl"]
    rare = "a\ue000b c\u0378d e\U0010fffff"
    assert BasicTokenizer().tokenize(rare) == ["a\ue000b", "c\u0378d", "e\U0010fffff"]
    assert BasicTokenizer(control="Cc+Cf+Co").tokenize(rare) == ["ab", "c\u0378d", "e\U0010fffff"]
    assert BasicTokenizer(control="C").tokenize(rare) == ["ab", "cd", "ef"]
    assert BasicTokenizer(control="C").tokenize("a\ud800b") == ["ab"]
    with pytest.raises(InputError, match="control"):
        BasicTokenizer(control="Cf")  # type: ignore[arg-type]


def test_whitespace_that_cleaning_leaves() -> None:
    assert BasicTokenizer().tokenize("a\u2028b\u2029c\u00a0d") == ["a", "b", "c", "d"]


def test_bytes() -> None:
    assert to_unicode(b"caf\xc3\xa9\xff") == "café"
    assert BasicTokenizer().tokenize("Été".encode()) == ["ete"]
    with pytest.raises(InputError, match="int"):
        to_unicode(5)  # type: ignore[arg-type]


def test_whitespace() -> None:
    assert all(map(is_whitespace, " \t\r\n\u00a0\u3000"))
    assert not any(map(is_whitespace, "A-\x0b\u2028"))


def test_control() -> None:
    assert is_control("\u0005")
    assert is_control("\u200d")
    assert not any(map(is_control, "A \t\r\n\U0001f4a9\ue000"))
    assert is_control("\ue000", "C")


def test_punctuation() -> None:
    assert all(map(is_punctuation, "-$`.^~{¿—。"))
    assert not any(map(is_punctuation, "A 0é€"))


@pytest.mark.parametrize(
    ("first", "last"),
    [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2CEAF),
     (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)],
)  # fmt: skip
def test_ideographs(first: int, last: int) -> None:
    assert is_chinese_char(chr(first))
    assert is_chinese_char(chr(last))
    assert not is_chinese_char(chr(first - 1)) or first == 0x2B740
    assert not is_chinese_char(chr(last + 1)) or last == 0x2B73F
