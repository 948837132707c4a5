"""From words to word pieces: the longest piece first.

Source: google-research/bert, `tokenization.py`, `WordpieceTokenizer`; the vocabulary's idea is that of
Schuster and Nakajima 2012 and Wu et al. 2016 (section 4.1).

From the left, the longest piece of the vocabulary that the rest of the word begins with is taken, and again
from where it ends, pieces after the first carrying "##". If the rest begins with no piece at all, the whole
word becomes [UNK]: the pieces found so far are thrown away, for a model that saw them would take them for
another word.
"""

from collections.abc import Container

from .notation import CONTINUES
from .vocab import UNK


class WordpieceTokenizer:
    """Splits words into pieces of `vocab` (any container of tokens, such as `Vocab.ids`).

    A word of more than `max_chars_per_word` characters becomes [UNK] unread. The original's limit is 200
    since December 2018, and was 100 before; transformers still says 100.
    """

    def __init__(self, vocab: Container[str], *, unknown: str = UNK, max_chars_per_word: int = 200) -> None:
        self.vocab = vocab
        self.unknown = unknown
        self.max_chars_per_word = max_chars_per_word

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text's words, which white space separates."""
        return [piece for word in text.split() for piece in self.pieces(word)]

    def pieces(self, word: str) -> list[str]:
        """The pieces of one word, or only `unknown`."""
        if len(word) > self.max_chars_per_word:
            return [self.unknown]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = CONTINUES if start else ""
            for end in range(len(word), start, -1):
                piece = prefix + word[start:end]
                if piece in self.vocab:
                    break
            else:
                return [self.unknown]
            pieces.append(piece)
            start = end
        return pieces
