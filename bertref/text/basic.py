"""From text to words: cleaning, lower-casing, accents, punctuation.

What google-research/bert does in `tokenization.py`, `BasicTokenizer`, at its last commit. The order matters:

1. bytes become text (UTF-8, invalid bytes dropped);
2. control characters, U+0000 and U+FFFD vanish, every space becomes " ";
3. every CJK ideograph becomes a word of its own;
4. the text is split at white space;
5. each word is lower-cased, then decomposed (NFD) and stripped of its non-spacing marks, which takes accents
   away: lower-casing first, since "İ" lower-cased is "i" and a mark;
6. each word is split at punctuation, every mark a word of its own.

Two things changed while the original was alive, and each is an option: what counts as a control character
(`control`), and the words for CJK (`tokenize_chinese_chars`, since November 2018).
"""

import unicodedata
from collections.abc import Iterable
from typing import Literal

from ..errors import InputError

Control = Literal["Cc+Cf", "Cc+Cf+Co", "C"]
"""Which of Unicode's categories are control characters and vanish.

"Cc+Cf"     control and format characters: the original since March 2019
"C"         unassigned code points, private use and surrogates, too: the original before
"Cc+Cf+Co"  private use, too: the `tokenizers` library, and so transformers
"""

CONTROL_CATEGORIES: dict[str, tuple[str, ...]] = {
    "Cc+Cf": ("Cc", "Cf"),
    "Cc+Cf+Co": ("Cc", "Cf", "Co"),
    "C": ("Cc", "Cf", "Co", "Cn", "Cs"),
}

CJK_BLOCKS = (
    (0x4E00, 0x9FFF),  # unified ideographs
    (0x3400, 0x4DBF),  # extension A
    (0x20000, 0x2A6DF),  # B
    (0x2A700, 0x2B73F),  # C
    (0x2B740, 0x2B81F),  # D
    (0x2B820, 0x2CEAF),  # E
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x2F800, 0x2FA1F),  # their supplement
)
"""Ideographs only: Hangul, Hiragana and Katakana are written in words and need no splitting."""


def to_unicode(text: str | bytes) -> str:
    """Text as it is; bytes as UTF-8, leaving out what is invalid (original: `convert_to_unicode`)."""
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise InputError(f"text to tokenise must be str or bytes, not {type(text).__name__}")


def is_whitespace(char: str) -> bool:
    """Tab, line feed, carriage return (formally control characters) and all of Unicode's spaces (Zs)."""
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def is_control(char: str, control: Control = "Cc+Cf") -> bool:
    """A control character that is not white space; see `Control`."""
    return char not in "\t\n\r" and unicodedata.category(char) in CONTROL_CATEGORIES[control]


def is_punctuation(char: str) -> bool:
    """Unicode's punctuation (P*), and all ASCII signs but letters, digits and spaces: "$", "^", "`" ..."""
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def is_chinese_char(char: str) -> bool:
    """An ideograph of `CJK_BLOCKS`."""
    return any(first <= ord(char) <= last for first, last in CJK_BLOCKS)


def clean_char(char: str, control: Control, tokenize_chinese_chars: bool) -> str:
    """Steps 2 and 3 for one character: what stands in its place."""
    if char in "\0\ufffd" or is_control(char, control):
        return ""
    if is_whitespace(char):
        return " "
    return f" {char} " if tokenize_chinese_chars and is_chinese_char(char) else char


def is_accent(char: str) -> bool:
    """A non-spacing mark (Mn), which is what NFD makes of an accent."""
    return unicodedata.category(char) == "Mn"


class BasicTokenizer:
    """Splits text into words.

    lower_case              lower-case (and, unless said otherwise, strip accents): for "uncased" vocabularies
    strip_accents           None: exactly when lower-casing
    tokenize_chinese_chars  each ideograph a word of its own
    control                 see `Control`
    never_split             words, delimited by white space, that pass through steps 5 and 6 as they are
    """

    def __init__(
        self,
        lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        control: Control = "Cc+Cf",
        never_split: Iterable[str] = (),
    ) -> None:
        check_control(control)
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.control = control
        self.never_split = frozenset(never_split)

    def tokenize(self, text: str | bytes) -> list[str]:
        """The words of a text, in order; none for an empty or blank text."""
        words: list[str] = []
        for word in self._cleaned(to_unicode(text)).split():
            words += [word] if word in self.never_split else split_on_punctuation(self._folded(word))
        return words

    def normalize(self, text: str) -> str:
        """Steps 2, 3 and 5 alone: a text as added tokens are looked for in it, not split yet."""
        return self._folded(self._cleaned(text))

    def _cleaned(self, text: str) -> str:
        return "".join(clean_char(char, self.control, self.tokenize_chinese_chars) for char in text)

    def _folded(self, text: str) -> str:
        if self.lower_case:
            text = text.lower()
        if self.strip_accents:
            text = "".join(char for char in unicodedata.normalize("NFD", text) if not is_accent(char))
        return text


def split_on_punctuation(text: str) -> list[str]:
    """Each punctuation character alone, what lies between them and white space whole: "don't" -> "don", "'", "t"."""
    return "".join(f" {char} " if is_punctuation(char) else char for char in text).split()


def check_control(control: str) -> None:
    """Raises `InputError` for a rule that does not exist."""
    if control not in CONTROL_CATEGORIES:
        raise InputError(f"control is {control!r}; it must be one of {', '.join(CONTROL_CATEGORIES)}")
