"""A text as the model reads it, and which of the tokens are which of its words."""

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from ...errors import TextError
from ...text import Piece
from ...text.encoding import Encoding, Truncate, shorten
from ..loaded import Loaded, framed


class WordPlace(NamedTuple):
    """A word: text[start:end] of the text (`segment` 0) or its pair (1), and its tokens' positions in the sequence."""

    segment: int
    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class ReadText:
    """One sequence of S tokens. `words` don't include [CLS] and [SEP] around the segments."""

    texts: tuple[str, ...]
    encoding: Encoding
    words: tuple[WordPlace, ...]


def read(loaded: Loaded, text: str, pair: str | None, truncate: Truncate | None) -> ReadText:
    """The text, or a pair, as the model reads it.

    Raises `TextError` where it is too long and `truncate` doesn't say what is kept, and where it has no words.
    """
    texts = (text,) if pair is None else (text, pair)
    encoding = framed(loaded, [text], None if pair is None else [pair], truncate)[0]
    pieces = [loaded.tokenizer.locate(each) for each in texts]
    numbers = [list(range(len(some))) for some in pieces]
    notation = loaded.tokenizer.vocab.notation
    room = loaded.config.max_length - notation.frame_tokens(pair=pair is not None)
    first, second = shorten(numbers[0], numbers[1] if pair is not None else None, room, truncate or "head")
    words = _words(0, [pieces[0][i] for i in first], 1)
    if second is not None:
        words += _words(1, [pieces[1][i] for i in second], len(first) + 1 + notation.separators)
    if not words:
        raise TextError({0: "can't be explained: it has no words"})
    return ReadText(texts, encoding, tuple(words))


def _words(segment: int, pieces: list[Piece], position: int) -> list[WordPlace]:
    """The words of pieces that stand in the sequence from `position` on."""
    found = []
    for _, some in groupby(enumerate(pieces, position), lambda item: item[1].word):
        positions, parts = zip(*some, strict=True)
        found.append(WordPlace(segment, min(p.start for p in parts), max(p.end for p in parts), positions))
    return found
