"""The tokenizer for use: `FullTokenizer`'s results at the speed of bulk work, and Hugging Face's folders.

`Tokenizer` and `FullTokenizer` give the same ids for every `str`, including unassigned code points, private
use and lone surrogates: both take their decisions about characters from `basic.py`, and the `tokenizers`
library only ever sees single, finished words. There is no list of exceptions.

The library's own normaliser, which transformers uses, is left out on purpose. This is what it does
differently, so that a folder of `save_pretrained`, opened with transformers, gives other ids for such text:

    text                           here, and in the original        tokenizers 0.23, transformers 5
    -----------------------------  -------------------------------  ------------------------------------------
    private use                    kept: the word becomes [UNK]     dropped, as control="Cc+Cf+Co" does
    punctuation, accents, format   what they are in Python's        ordinary letters: its tables are those of
      characters newer than 2015     version of Unicode               Unicode 8
    U+166D, U+1734, U+1885,        sign, spacing mark, accents      punctuation, accent, letters, punctuation:
      U+1886, U+111C9                                                 later versions of Unicode moved them
    capitals newer than Python's   left alone                       lower-cased: for this its tables are newer
      version of Unicode
    a last capital sigma: "ΟΔΟΣ"   "οδος"                           "οδοσ": looks at no neighbours
    U+2B820 to U+2B91F             ideographs, a word each          letters
    words of 101 to 200 letters    pieces                           [UNK], as max_chars_per_word=100 does
    "[MASK]" in a text             `encode`: the token; `tokenize`  always the token
                                     and `ids_batch`: characters
    lone surrogates                kept: the word becomes [UNK]     refused
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .added import AddedTokens
from .basic import BasicTokenizer, Control, check_control, to_unicode
from .bulk import Pieces, Words, blocks
from .encoding import Encoding, Truncate, check_texts, frame, join, tokens_of
from .folder import read_folder, write_folder
from .offsets import Locator, Piece
from .vocab import Vocab

Text = str | bytes


class Tokenizer:
    """Text to ids and back.

    vocab                   the vocabulary; `InputError` if it lacks [UNK]
    lower_case              for "uncased" vocabularies
    strip_accents           None: exactly when lower-casing
    tokenize_chinese_chars  every CJK ideograph a word of its own
    max_chars_per_word      longer words become [UNK]
    control                 which characters vanish, see `basic.Control`

    Tokens that were added to the vocabulary (`Vocab.added`) are kept whole; so are [MASK] and its like on request.
    May be shared by threads, pickled and sent to processes.
    """

    def __init__(
        self,
        vocab: Vocab,
        *,
        lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        max_chars_per_word: int = 200,
        control: Control = "Cc+Cf",
    ) -> None:
        check_control(control)
        if max_chars_per_word < 1:
            raise InputError(f"max_chars_per_word is {max_chars_per_word}; it must be at least 1")
        self.vocab = vocab
        self.lower_case = lower_case
        self.strip_accents = strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.max_chars_per_word = max_chars_per_word
        self.control: Control = control
        steps = {name: value for name, value in self.options.items() if name != "max_chars_per_word"}
        normalize = BasicTokenizer(**steps).normalize
        self._added = {
            specials: AddedTokens(vocab.found_whole(specials=specials), normalize) for specials in (False, True)
        }
        self._words = {specials: Words(added=added, **steps) for specials, added in self._added.items()}
        self._pieces = Pieces(vocab, max_chars_per_word)
        self._locator = Locator(vocab, self._added, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """What `Tokenizer` was given beside the vocabulary."""
        names = ("lower_case", "strip_accents", "tokenize_chinese_chars", "max_chars_per_word", "control")
        return {name: getattr(self, name) for name in names}

    def forget_words(self) -> None:
        """Lets go of the words whose pieces it remembers: it is then as slow, and as small, as a new one."""
        self._pieces.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.vocab, self.options)  # locks and the library's model stay in their process

    def ids_arrays(self, texts: Iterable[Text]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """All ids end to end, (N,), and bounds, (texts + 1,): text i has ids[bounds[i]:bounds[i + 1]].

        [CLS] and its like are neither added nor recognised; tokens that were added to the vocabulary are. The fastest
        form; memory is that of the result and one block of text.
        """
        return self._ids_arrays(texts, specials=False)

    def _ids_arrays(
        self, texts: Iterable[Text], *, specials: bool
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        parts: list[npt.NDArray[np.int32]] = []
        bounds = [np.zeros(1, np.int64)]
        total = 0
        for block in blocks(to_unicode(text) for text in texts):
            ids, ends = self._pieces.ids(self._words[specials].split(block))
            parts.append(ids)
            bounds.append(ends[1:] + total)
            total += len(ids)
        return np.concatenate(parts) if parts else np.zeros(0, np.int32), np.concatenate(bounds)

    def ids_batch(self, texts: Sequence[Text]) -> list[list[int]]:
        """The ids of each text. [CLS] and its like are neither added nor recognised: "[MASK]" is "[", "mask", "]"."""
        check_texts(texts)
        return self._ids(texts, specials=False)

    def _ids(self, texts: Iterable[Text], *, specials: bool) -> list[list[int]]:
        ids, bounds = self._ids_arrays(texts, specials=specials)
        flat, at = ids.tolist(), bounds.tolist()
        return [flat[start:end] for start, end in pairwise(at)]

    def tokenize(self, text: Text, *, specials: bool = False) -> list[str]:
        """The pieces of a text; `specials` as in `FullTokenizer.tokenize`."""
        return tokens_of(self.vocab, self._ids([text], specials=specials)[0])

    def locate(self, text: Text, *, specials: bool = True) -> list[Piece]:
        """The pieces of a text with their places in it (see `offsets`); the ids are those that `encode` frames.

        For the few texts whose answers are cut out of them: it goes character by character. Places in bytes are those
        of the decoded text.
        """
        return self._locator.locate(text, specials=specials)

    def encode(
        self,
        text: Text,
        pair: Text | None = None,
        max_length: int | None = None,
        *,
        specials: bool = True,
        truncate: Truncate = "head",
    ) -> Encoding:
        """One text, or a pair, with [CLS] and [SEP], cut to `max_length` (see `encoding.frame`).

        With `specials`, "[MASK]" and its like in the text are the tokens. Raises `InputError` if the
        vocabulary lacks [CLS] or [SEP].
        """
        pairs = None if pair is None else [pair]
        return self.encode_batch([text], pairs, max_length, specials=specials, truncate=truncate)[0]

    def encode_batch(
        self,
        texts: Sequence[Text],
        pairs: Sequence[Text] | None = None,
        max_length: int | None = None,
        *,
        specials: bool = True,
        truncate: Truncate = "head",
    ) -> list[Encoding]:
        """`encode` for many texts at once; `pairs` is as long as `texts`. Raises `InputError` for a single text."""
        check_texts(texts, pairs)
        if pairs is not None and len(pairs) != len(texts):
            raise InputError(f"{len(texts)} texts and {len(pairs)} second texts; every pair has one of each")
        first = self._ids(texts, specials=specials)
        second = [None] * len(first) if pairs is None else self._ids(pairs, specials=specials)
        return [frame(self.vocab, a, b, max_length, truncate) for a, b in zip(first, second, strict=True)]

    def decode(self, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """Readable text without [PAD], [CLS], [SEP] (see `encoding.join`); `InputError` for an unknown id."""
        return join(tokens_of(self.vocab, ids), keep_special=keep_special)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Tokenizer":
        """Opens a folder of Hugging Face's, Google's or `save_pretrained`'s; see `folder.read_folder`."""
        vocab, options = read_folder(Path(folder))
        return cls(vocab, **options)

    def save_pretrained(self, folder: str | Path, *, max_length: int | None = None) -> None:
        """Writes `vocab.txt` and `tokenizer_config.json`, which transformers' `BertTokenizer` opens.

        `max_length` is the longest sequence of the model that the tokenizer belongs to.
        """
        write_folder(Path(folder), self.vocab, self.options, max_length)


def _rebuild(vocab: Vocab, options: dict[str, Any]) -> Tokenizer:
    return Tokenizer(vocab, **options)
