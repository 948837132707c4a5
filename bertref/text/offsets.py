"""Word pieces and where they stand in the text: for answers and entities that are cut out of the original string.

Every step of `BasicTokenizer` is done again character by character, each character carrying the index of the one it
came from. The pieces are those of `Tokenizer.tokenize`; what is new is where they begin and end:

- a piece begins at the first character that gave it a letter, and ends behind the last one;
- characters that vanished inside a word (control characters, accents) belong to the piece in which they stand, and an
  accent behind a letter, U+0301 after "e", to that letter, so that `text[start:end]` is what a reader would cut out;
- a character that becomes several letters, as a Hangul syllable does, may lie in several pieces, whose places then
  overlap.

A word of a text is what `BasicTokenizer` calls one: white space and punctuation end it.
"""

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from .basic import Control, clean_char, is_accent, is_punctuation, to_unicode
from .encoding import split_at_specials
from .vocab import CONTINUES, Vocab
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
    """`Tokenizer` with places, one text at a time; takes the tokenizer's options (see `BasicTokenizer`)."""

    def __init__(
        self,
        vocab: Vocab,
        *,
        lower_case: bool,
        strip_accents: bool | None,
        tokenize_chinese_chars: bool,
        control: Control,
        max_chars_per_word: int,
    ) -> None:
        self.vocab = vocab
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.control: Control = control
        self._wordpiece = WordpieceTokenizer(vocab.ids, max_chars_per_word=max_chars_per_word)

    def locate(self, text: str | bytes, *, specials: bool = True) -> list[Piece]:
        """All pieces of a text in order; with `specials`, "[MASK]" and its like are one token and one word each."""
        text = to_unicode(text)
        found: list[Piece] = []
        at = word = 0
        for part, special in split_at_specials(self.vocab, text) if specials else [(text, None)]:
            if special is not None:
                found.append(Piece(special, at, at + len(part), word))
            else:
                found += self._pieces(part, at, word)
            word = found[-1].word + 1 if found else 0
            at += len(part)
        return found

    def _pieces(self, text: str, start: int, word: int) -> Iterator[Piece]:
        """The pieces of a plain text that begins at `start` of the whole one, its words counted from `word`."""
        for letters in self._words(text, start):
            at = 0
            for piece in self._wordpiece.pieces("".join(letter.char for letter in letters)):
                length = len(piece) - (len(CONTINUES) if at else 0)
                if at == 0 and piece == self._wordpiece.unknown:
                    length = len(letters)
                some = letters[at : at + length]
                yield Piece(self.vocab.ids[piece], min(a.start for a in some), max(a.end for a in some), word)
                at += length
            word += 1

    def _words(self, text: str, start: int) -> Iterator[list[_Letter]]:
        for word in self._delimited(text, start):
            letters = self._lowered(word) if self.lower_case else word
            if self.strip_accents:
                letters = _without_accents(letters)
            yield from _split_at_punctuation(letters)

    def _delimited(self, text: str, start: int) -> Iterator[list[_Letter]]:
        """Steps 2 to 4: the cleaned words between white space."""
        word: list[_Letter] = []
        for i, char in enumerate(text, start):
            for cleaned in clean_char(char, self.control, self.tokenize_chinese_chars):
                if not cleaned.isspace():
                    word.append(_Letter(cleaned, i, i + 1))
                elif word:
                    yield word
                    word = []
        if word:
            yield word

    @staticmethod
    def _lowered(word: list[_Letter]) -> list[_Letter]:
        """Lower-cased. Only the capital sigma looks at its neighbours, so the word as a whole has the last say."""
        letters = [_Letter(low, start, end) for char, start, end in word for low in char.lower()]
        if any(letter.char == SIGMA for letter in word):
            whole = "".join(letter.char for letter in word).lower()
            letters = [letter._replace(char=low) for letter, low in zip(letters, whole, strict=True)]
        return letters


def _without_accents(word: list[_Letter]) -> list[_Letter]:
    """NFD, character by character, then Unicode's reordering of marks; then the non-spacing marks go.

    What goes lengthens the letter that it stood behind.
    """
    apart = [_Letter(part, start, end) for char, start, end in word for part in unicodedata.normalize("NFD", char)]
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


def _split_at_punctuation(word: list[_Letter]) -> Iterator[list[_Letter]]:
    """Step 6: each punctuation character alone; white space that came up on the way separates, too."""
    part: list[_Letter] = []
    for letter in word:
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
