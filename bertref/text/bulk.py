"""Many texts at once: the same ids as `FullTokenizer`, twenty to fifty times as fast.

A text has few different words, and few different characters that mean anything to a tokenizer. So

1. the steps of `BasicTokenizer` are done to a whole block of texts, each by a handful of C loops of Python's
   `str`, one for each special character that occurs in the block;
2. every word is looked up in a table; only words that are new go through the WordPiece model of the
   `tokenizers` library, together, on all its threads;
3. NumPy gathers the pieces of all words.

The block keeps its texts apart by U+0000, which cleaning removes from texts in any case. It may be
lower-cased and decomposed as a whole because none of that looks across white space or U+0000.

An added token is replaced by a mark as soon as it is found: its id in octal digits, spelt with control characters that
cleaning removes from texts, too, so that no later step changes it or finds another token in it.
"""

import threading
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .added import AddedTokens, Finder
from .basic import Control, clean_char, is_accent, is_punctuation
from .vocab import Vocab, has_surrogate

SEPARATOR = "\0"
MARK_BEGINS, MARK_ENDS = "\x0e\x0f"
DIGITS = {ord("0") + digit: 1 + digit for digit in range(8)}
"""Digits of a mark: 0 to 7 as U+0001 to U+0008."""
RESERVED: dict[int, None] = dict.fromkeys([*DIGITS.values(), ord(MARK_BEGINS), ord(MARK_ENDS)])
"""What marks are made of, for `str.translate` to take out of a text."""
BLOCK = 1 << 18
"""Characters in a block; a longer text is a block of its own."""
MOST_WORDS = 1 << 19
"""Words in the table (about 100 MB with their pieces); it is emptied when it has more."""
FEW = 40
"""Up to so many different characters, a `str.replace` for each beats one `str.translate`."""


class _Replacements(dict[str, str]):
    """character -> what replaces it, filled as characters turn up."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self.rule = rule
        self.ascii = [char for char in map(chr, range(128)) if self[char] != char]

    def __missing__(self, char: str) -> str:
        self[char] = replacement = self.rule(char)
        return replacement

    def apply(self, text: str) -> str:
        present = (char for char in self.ascii if char in text) if text.isascii() else set(text)
        changed = [(char, self[char]) for char in present if self[char] != char]
        if len(changed) > FEW:
            return text.translate({ord(char): replacement for char, replacement in changed})
        # A replacement holds only its own character and spaces, so their order makes no difference.
        for char, replacement in changed:
            text = text.replace(char, replacement)
        return text


def mark(number: int) -> str:
    """The word that stands for an added token."""
    return MARK_BEGINS + f"{number:o}".translate(DIGITS) + MARK_ENDS


def marked_id(word: str) -> int:
    """The id in a mark."""
    return int("".join(str(ord(digit) - 1) for digit in word[1:-1]), 8)


class Words:
    """Steps 1 to 6 of `BasicTokenizer` (which documents the options) on blocks of texts; `added` is found in them."""

    def __init__(
        self,
        *,
        lower_case: bool,
        strip_accents: bool | None,
        tokenize_chinese_chars: bool,
        control: Control,
        added: AddedTokens | None = None,
    ) -> None:
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.added = added
        stays = {SEPARATOR, *map(chr, RESERVED)} if added and added.raw else {SEPARATOR}

        def clean(char: str) -> str:
            return char if char in stays else clean_char(char, control, tokenize_chinese_chars)

        def apart(char: str) -> str:
            before = char in (SEPARATOR, MARK_BEGINS) or is_punctuation(char)
            behind = char == MARK_ENDS or (before and char != MARK_BEGINS)
            return " " * before + char + " " * behind

        self._clean = _Replacements(clean)
        self._accents = _Replacements(lambda char: "" if is_accent(char) else char)
        self._apart = _Replacements(apart)

    def split(self, texts: Sequence[str]) -> list[str]:
        """The words of all texts, with `SEPARATOR` between one text and the next and a `mark` for an added token."""
        block = self._clean.apply(self._joined(texts))
        if self.lower_case:
            block = block.lower()
        if self.strip_accents and not block.isascii():
            block = self._accents.apply(unicodedata.normalize("NFD", block))
        if self.added and self.added.normalized:
            block = _marked(block, self.added.normalized, {})
        return self._apart.apply(block).split()

    def _joined(self, texts: Sequence[str]) -> str:
        """The texts as a block, with marks for the tokens that are found in a text as it is."""
        block = SEPARATOR.join(texts)
        raw = self.added.raw if self.added else Finder([])
        if block.count(SEPARATOR) >= max(len(texts), 1):  # some text has one, which may lie in the midst of a token
            return SEPARATOR.join(_marked(text, raw, RESERVED | {ord(SEPARATOR): None}) for text in texts)
        return _marked(block, raw, RESERVED) if raw else block


def _marked(text: str, finder: Finder, remove: Mapping[int, None]) -> str:
    """The text with a mark for each token that is found, and without some characters between them."""
    parts = []
    for start, end, number in finder.split(text):
        part = text[start:end] if number is None else mark(number)
        parts.append(part.translate(remove) if remove and number is None else part)
    return "".join(parts)


def blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Consecutive texts in lists of about `BLOCK` characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text) + 1
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


class _Numbers(dict[str, int]):
    """word -> its row in the table of pieces; a new word gets the next row and is remembered as fresh.

    Row 0 is the separator (no pieces). Row 1 is [UNK], for words too long to be read; they are not kept.
    """

    def __init__(self, longest: int) -> None:
        super().__init__({SEPARATOR: 0})
        self.longest = longest
        self.fresh: list[str] = []

    def __missing__(self, word: str) -> int:
        if len(word) > self.longest and word[0] != MARK_BEGINS:
            return 1
        self[word] = row = len(self) + 1
        self.fresh.append(word)
        return row


class Pieces:
    """Words to ids, through a table that remembers every word it has seen. Several threads may share one."""

    def __init__(self, vocab: Vocab, max_chars_per_word: int) -> None:
        self.vocab = vocab
        self.max_chars_per_word = max_chars_per_word
        self._model: Any = None
        self._lock = threading.Lock()
        self._forget()

    def forget(self) -> None:
        """Empties the table."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers(self.max_chars_per_word)
        self._flat = array("i", [self.vocab.unk])
        self._starts = array("q", [0, 0])
        self._lengths = array("q", [0, 1])

    def ids(self, words: list[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """All ids, (N,); and where each text begins and the last one ends, (texts + 1,)."""
        with self._lock:
            try:
                rows = np.fromiter(map(self._numbers.__getitem__, words), np.intp, len(words))
                self._learn()
                starts = np.frombuffer(self._starts, np.int64)[rows]
                lengths = np.frombuffer(self._lengths, np.int64)[rows]
                ends = np.cumsum(lengths)
                total = int(ends[-1]) if len(words) else 0
                # Where a word's ids lie in the table, minus where they go; then each id's own place added.
                index = np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
                ids = np.frombuffer(self._flat, np.int32)[index]
            except BaseException:
                self._forget()  # interrupted between a word's row and its pieces: the table can't be trusted
                raise
            if len(self._numbers) > MOST_WORDS:
                self._forget()
        return ids, np.concatenate([[0], ends[rows == 0], [total]]).astype(np.int64)

    def _learn(self) -> None:
        """Pieces for the fresh words."""
        fresh = self._numbers.fresh
        if not fresh:
            return
        known = {word: [marked_id(word)] for word in fresh if word[0] == MARK_BEGINS}
        # No piece has a lone surrogate, for UTF-8 can't hold one; the library refuses words that do.
        known |= {word: [self.vocab.unk] for word in fresh if has_surrogate(word)}
        rest = [word for word in fresh if word not in known]
        found = iter(self._library().encode_batch_fast(rest, add_special_tokens=False))
        for word in fresh:
            ids = known[word] if word in known else next(found).ids
            self._starts.append(len(self._flat))
            self._lengths.append(len(ids))
            self._flat.extend(ids)
        fresh.clear()

    def _library(self) -> Any:
        if self._model is None:
            import tokenizers

            model = tokenizers.models.WordPiece(
                dict(self.vocab.pieces), unk_token="[UNK]", max_input_chars_per_word=self.max_chars_per_word
            )
            self._model = tokenizers.Tokenizer(model)
        return self._model
