"""Added tokens: strings that a text is searched for before it is split into words, and that are kept whole.

    "[ENT1] Marie Curie [/ENT1]"   ->   [ENT1]  marie  curie  [/ENT1]

The text is searched twice: as it is, for the tokens that are not `normalized` (the special ones, as a rule), and what
lies between those once more after cleaning, lower-casing and accents (`BasicTokenizer.normalize`), for the others,
whose own spelling is normalised in the same way. In both the leftmost token wins, and the longest of those that begin
there. A token that may not stand where it was found (`single_word`) is passed over together with its characters.

Source: the `tokenizers` library, `added_vocabulary.rs`, whose results these are.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from ..errors import InputError

WHITE_SPACE = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What `lstrip` and `rstrip` take: Unicode's White_Space."""
WORD_CATEGORIES = frozenset("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl Pc".split())
JOINERS = "\u200c\u200d"
CIRCLED = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
"""Symbols that Unicode counts as letters."""
DEPTH = 4
"""So many leading characters are told apart one by one: thousands of tokens cost no more than a few at most places."""


class AddedToken(NamedTuple):
    """One added token; names and defaults are those of the `tokenizers` library.

    content      its spelling
    id           its number; one that the vocabulary has without it, too, or one behind its end
    single_word  only where no letter, digit or "_" stands beside it
    lstrip       white space on its left belongs to it
    rstrip       white space on its right belongs to it
    normalized   looked for in the normalised text, by its own normalised spelling
    special      not part of what a text says, such as [SEP]
    """

    content: str
    id: int
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


class TextPart(NamedTuple):
    """text[start:end], and the id if it is an added token."""

    start: int
    end: int
    id: int | None


class Finder:
    """Spellings and the tokens that they stand for, to be found in a text; false if there are none."""

    def __init__(self, tokens: Iterable[tuple[str, AddedToken]]) -> None:
        self._tokens: dict[str, AddedToken] = {}
        for spelling, token in tokens:
            self._tokens.setdefault(spelling, token)
        self._pattern = re.compile(_alternatives(self._tokens, DEPTH), re.DOTALL)

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def split(self, text: str) -> Iterator[TextPart]:
        """The text in order, in parts that are not empty: what lies between tokens, and the tokens.

        Parts follow one another; only a token that begins with white space which an `rstrip` before it has taken
        overlaps with that.
        """
        behind = 0
        for token, start, end in self._found(text) if self._tokens else ():
            if token.lstrip:
                while start > behind and text[start - 1] in WHITE_SPACE:
                    start -= 1
            if token.rstrip:
                while end < len(text) and text[end] in WHITE_SPACE:
                    end += 1
            if behind < start:
                yield TextPart(behind, start, None)
            yield TextPart(start, end, token.id)
            behind = end
        if behind < len(text):
            yield TextPart(behind, len(text), None)

    def _found(self, text: str) -> Iterator[tuple[AddedToken, int, int]]:
        for match in self._pattern.finditer(text):
            token, (start, end) = self._tokens[match[0]], match.span()
            beside = text[max(start - 1, 0) : start] + text[end : end + 1]
            if not (token.single_word and any(map(is_word_char, beside))):
                yield token, start, end


class AddedTokens:
    """All that is to be found in a text: `raw` in the text as it is, `normalized` in the normalised text.

    Raises `InputError` for a token of whose spelling nothing is left once normalised.
    """

    def __init__(self, tokens: Collection[AddedToken], normalize: Callable[[str], str]) -> None:
        ordered = sorted(tokens, key=lambda token: not token.special)  # of two with one spelling the first is meant
        self.raw = Finder((token.content, token) for token in ordered if not token.normalized)
        spelt = [(normalize(token.content), token) for token in ordered if token.normalized]
        for spelling, token in spelt:
            if not spelling:
                raise InputError(
                    f"the added token {token.content!r} (id {token.id}) is to be normalised, which leaves nothing of "
                    "it; remove it, or declare it with normalized = false"
                )
        self.normalized = Finder(spelt)


def is_word_char(char: str) -> bool:
    r"""What the library's regular expressions call \w: letters, marks, decimal digits, connectors, joiners."""
    if unicodedata.category(char) in WORD_CATEGORIES:
        return True
    return char in JOINERS or any(first <= ord(char) <= last for first, last in CIRCLED)


def _alternatives(spellings: Collection[str], depth: int) -> str:
    """A regular expression for the longest of the spellings, as a tree of their first `depth` characters."""
    if depth == 0 or len(spellings) == 1:
        return "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    rests: dict[str, list[str]] = {}
    for spelling in spellings:
        rests.setdefault(spelling[:1], []).append(spelling[1:])
    ends = [""] if rests.pop("", None) else []
    return "|".join([f"{re.escape(char)}(?:{_alternatives(some, depth - 1)})" for char, some in rests.items()] + ends)
