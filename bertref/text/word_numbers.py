"""Which words of a text its pieces belong to, where the pieces themselves don't tell.

A word is what `BasicTokenizer` calls one: white space ends it, each punctuation character and each ideograph is one by
itself. A piece belongs to the word in which it begins, white space at its front left out; one that is only white space
belongs to what follows.
"""

from collections.abc import Sequence

import numpy as np

from .basic import is_chinese_char, is_punctuation


def word_numbers(text: str, places: Sequence[tuple[int, int]], alone: Sequence[bool]) -> list[int]:
    """The number of each piece's word, from 0. `places` bound the pieces; those that are `alone` are words."""
    begins = _word_begins(text)
    found: list[int] = []
    word, before = -1, None
    for (start, end), single in zip(places, alone, strict=True):
        while start < end and text[start].isspace():
            start += 1
        here = None if single else int(begins[min(start, len(text))])
        if here is None or before is None or here != before:
            word += 1
        found.append(word)
        before = here
    return found


def _word_begins(text: str) -> np.ndarray:
    """(characters + 1,) how many words have begun up to and with each character, from 0; white space begins the word
    that it stands before. The end of the text counts as its last character does."""
    space = np.array([char.isspace() for char in text], bool)
    single = np.array([is_punctuation(char) or is_chinese_char(char) for char in text], bool)
    begins = np.zeros(len(text) + 1, np.int64)
    begins[1:-1] = ~space[:-1] & (space[1:] | single[1:] | single[:-1])
    return np.cumsum(begins)
