"""Word pieces and where they stand in the text: for answers and entities that are cut out of the original string.

Every step of `BasicTokenizer` is done again character by character, each character carrying the index of the one it
came from. The pieces are those of `Tokenizer.tokenize`; what is new is where they begin and end:

- a piece begins at the first character that gave it a letter, and ends behind the last one;
- characters that vanished inside a word (control characters, accents) belong to the piece in which they stand, and an
  accent behind a letter, U+0301 after "e", to that letter, so that `text[start:end]` is what a reader would cut out;
- a character that becomes several letters, as a Hangul syllable does, may lie in several pieces, whose places then
  overlap.

A word of a text is what `BasicTokenizer` calls one: white space and punctuation end it. An added token is one token and
one word; white space that belongs to it (`lstrip`, `rstrip`) lies in it.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .added import AddedTokens
from .basic import Control, clean_char, is_accent, is_punctuation, to_unicode
from .notation import CONTINUES
from .vocab import Vocab
from .wordpiece import WordpieceTokenizer

SIGMA = "Σ"


class Piece(NamedTuple):
    """One token of a text: `text[start:end]` is what it stands for, `word` counts the text's words from 0."""

    id: int
    start: int
    end: int
    word: int


class _Letter(NamedTuple):
    """A character after some of the steps; `start` and `end` bound what it came from."""

    char: str
    start: int
    end: int


class Locator:
    """`Tokenizer` with places, one text at a time; takes the tokenizer's options (see `BasicTokenizer`).

    `added` says what is found whole, without the special tokens (False) and with them (True).
    """

    def __init__(
        self,
        vocab: Vocab,
        added: Mapping[bool, AddedTokens],
        *,
        lower_case: bool,
        strip_accents: bool | None,
        tokenize_chinese_chars: bool,
        control: Control,
        max_chars_per_word: int,
    ) -> None:
        self.vocab = vocab
        self.added = added
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.control: Control = control
        self._wordpiece = WordpieceTokenizer(vocab.pieces, max_chars_per_word=max_chars_per_word)

    def locate(self, text: str | bytes, *, specials: bool = True) -> list[Piece]:
        """All pieces of a text in order; with `specials`, "[MASK]" and its like are one token and one word each."""
        text, added = to_unicode(text), self.added[specials]
        found: list[Piece] = []
        for start, end, number in added.raw.split(text):
            word = found[-1].word + 1 if found else 0
            if number is not None:
                found.append(Piece(number, start, end, word))
            else:
                found += self._plain(self._normalized(text, start, end), added, word)
        return found

    def _normalized(self, text: str, start: int, end: int) -> list[_Letter]:
        """What `BasicTokenizer.normalize` makes of text[start:end], letter by letter."""
        letters = [
            _Letter(cleaned, i, i + 1)
            for i in range(start, end)
            for cleaned in clean_char(text[i], self.control, self.tokenize_chinese_chars)
        ]
        letters = self._lowered(letters) if self.lower_case else letters
        return _without_accents(letters) if self.strip_accents else letters

    def _plain(self, letters: Sequence[_Letter], added: AddedTokens, word: int) -> Iterator[Piece]:
        """The pieces of a normalised text, its words counted from `word`."""
        for start, end, number in added.normalized.split("".join(letter.char for letter in letters)):
            some = letters[start:end]
            if number is not None:
                yield _spanning(number, some, word)
                word += 1
                continue
            for one in _split_at_punctuation(some):
                yield from self._pieces(one, word)
                word += 1

    def _pieces(self, letters: Sequence[_Letter], word: int) -> Iterator[Piece]:
        """The pieces of one word."""
        at = 0
        for piece in self._wordpiece.pieces("".join(letter.char for letter in letters)):
            length = len(piece) - (len(CONTINUES) if at else 0)
            if at == 0 and piece == self._wordpiece.unknown:
                length = len(letters)
            yield _spanning(self.vocab.pieces[piece], letters[at : at + length], word)
            at += length

    @staticmethod
    def _lowered(text: list[_Letter]) -> list[_Letter]:
        """Lower-cased. Only the capital sigma looks at its neighbours, so the text as a whole has the last say."""
        letters = [_Letter(low, start, end) for char, start, end in text for low in char.lower()]
        if any(letter.char == SIGMA for letter in text):
            whole = "".join(letter.char for letter in text).lower()
            letters = [letter._replace(char=low) for letter, low in zip(letters, whole, strict=True)]
        return letters


def _spanning(number: int, letters: Sequence[_Letter], word: int) -> Piece:
    """The piece that these letters make."""
    return Piece(number, min(a.start for a in letters), max(a.end for a in letters), word)


def _without_accents(text: list[_Letter]) -> list[_Letter]:
    """NFD, character by character, then Unicode's reordering of marks; then the non-spacing marks go.

    What goes lengthens the letter that it stood behind.
    """
    apart = [_Letter(part, start, end) for char, start, end in text for part in unicodedata.normalize("NFD", char)]
    ordered: list[_Letter] = []
    marks: list[_Letter] = []
    for letter in apart:
        if unicodedata.combining(letter.char):
            marks.append(letter)
            continue
        ordered += sorted(marks, key=lambda mark: unicodedata.combining(mark.char))
        ordered.append(letter)
        marks = []
    ordered += sorted(marks, key=lambda mark: unicodedata.combining(mark.char))
    kept: list[_Letter] = []
    for letter in ordered:
        if not is_accent(letter.char):
            kept.append(letter)
        elif kept:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, letter.end))
    return kept


def _split_at_punctuation(text: Sequence[_Letter]) -> Iterator[list[_Letter]]:
    """Steps 4 and 6: words, which white space separates, and each punctuation character alone."""
    part: list[_Letter] = []
    for letter in text:
        alone = is_punctuation(letter.char)
        if (alone or letter.char.isspace()) and part:
            yield part
            part = []
        if alone:
            yield [letter]
        elif not letter.char.isspace():
            part.append(letter)
    if part:
        yield part
