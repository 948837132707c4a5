"""The tokenizer for use: texts to framed ids at the speed of bulk work, and Hugging Face's folders.

BERT's own, `Tokenizer(vocab)`, and `FullTokenizer` give the same ids for every `str`, including unassigned code points,
private use and lone surrogates: both take their decisions about characters from `basic.py`, and the `tokenizers`
library only ever sees single, finished words. There is no list of exceptions.

Byte-level BPE and unigram models, which `from_pretrained` opens, are cut by the library as they are by transformers:
see `library_pieces`.

The library's normaliser for BERT, which transformers uses, is left out on purpose. This is what it does
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
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .basic import Control
from .bert_pieces import BertPieces
from .declared import LIBRARY
from .encoding import Encoding, Truncate, check_texts, frame, join, tokens_of
from .folder import read_folder
from .library_folder import is_of_library, read_library_folder
from .library_pieces import LibraryPieces
from .offsets import Piece
from .segmenter import Segmenter, Text
from .vocab import Vocab, load_vocab


class Tokenizer:
    """Text to ids and back; with these arguments BERT's.

    vocab                   the vocabulary; `InputError` if it lacks [UNK]
    lower_case              for "uncased" vocabularies
    strip_accents           None: exactly when lower-casing
    tokenize_chinese_chars  every CJK ideograph a word of its own
    max_chars_per_word      longer words become [UNK]
    control                 which characters vanish, see `basic.Control`

    Tokens that were added to the vocabulary (`Vocab.added`) are kept whole; so are [MASK] and its like on request.
    What [CLS], [SEP] and [MASK] are called, and how a pair is framed, says `vocab.notation`. May be shared by threads,
    pickled and sent to processes.
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
        self._segmenter: Segmenter = BertPieces(
            vocab, lower_case=lower_case, strip_accents=strip_accents, tokenize_chinese_chars=tokenize_chinese_chars,
            max_chars_per_word=max_chars_per_word, control=control,
        )  # fmt: skip

    @classmethod
    def of(cls, segmenter: Segmenter) -> "Tokenizer":
        """The tokenizer whose pieces are those of any segmenter."""
        made = cls.__new__(cls)
        made._segmenter = segmenter
        return made

    @property
    def vocab(self) -> Vocab:
        """Its vocabulary."""
        return self._segmenter.vocab

    @property
    def options(self) -> dict[str, Any]:
        """What decides the ids beside the vocabulary; of BERT's, what `Tokenizer` was given."""
        return dict(self._segmenter.options)

    @property
    def lower_case(self) -> bool:
        """Whether texts are lower-cased."""
        return bool(self._segmenter.options.get("lower_case"))

    def forget_words(self) -> None:
        """Lets go of the words whose pieces it remembers: it is then as slow, and as small, as a new one."""
        self._segmenter.forget_words()

    def ids_arrays(self, texts: Iterable[Text]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """All ids end to end, (N,), and bounds, (texts + 1,): text i has ids[bounds[i]:bounds[i + 1]].

        [CLS] and its like are neither added nor recognised; tokens that were added to the vocabulary are. The fastest
        form; memory is that of the result and one block of text.
        """
        return self._segmenter.ids_arrays(texts, specials=False)

    def ids_batch(self, texts: Sequence[Text], *, specials: bool = False) -> list[list[int]]:
        """The ids of each text. [CLS] and its like are not added, and recognised only with `specials`: without,
        "[MASK]" is "[", "mask", "]"."""
        check_texts(texts)
        ids, bounds = self._segmenter.ids_arrays(texts, specials=specials)
        flat, at = ids.tolist(), bounds.tolist()
        return [flat[start:end] for start, end in pairwise(at)]

    def word_ids(self, sentences: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """The ids of each word of each sentence by itself. Where spaces are in pieces, words are read as they stand in
        running text: behind a space, but for a sentence's first. A word of which nothing is left has none."""
        space = " " if self.vocab.notation.style == "byte-level" else ""
        words = [space * (i > 0) + word for sentence in sentences for i, word in enumerate(sentence)]
        found = iter(self.ids_batch(words, specials=True))
        return [list(islice(found, len(sentence))) for sentence in sentences]

    def tokenize(self, text: Text, *, specials: bool = False) -> list[str]:
        """The pieces of a text; `specials` as in `FullTokenizer.tokenize`."""
        return tokens_of(self.vocab, self.ids_batch([text], specials=specials)[0])

    def locate(self, text: Text, *, specials: bool = True) -> list[Piece]:
        """The pieces of a text with their places in it (see `offsets`); the ids are those that `encode` frames.

        For the few texts whose answers are cut out of them: BERT's goes character by character. Places in bytes are
        those of the decoded text.
        """
        return self._segmenter.locate(text, specials=specials)

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
        first = self.ids_batch(texts, specials=specials)
        second = [None] * len(first) if pairs is None else self.ids_batch(pairs, specials=specials)
        return [frame(self.vocab, a, b, max_length, truncate) for a, b in zip(first, second, strict=True)]

    def decode(self, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """Readable text without [PAD], [CLS], [SEP] (see `encoding.join`); `InputError` for an unknown id."""
        return join(tokens_of(self.vocab, ids), keep_special=keep_special, notation=self.vocab.notation)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Tokenizer":
        """Opens a folder of Hugging Face's, Google's or `save_pretrained`'s; see `folder` and `library_folder`."""
        folder = Path(folder)
        if is_of_library(folder):
            return cls.of(LibraryPieces(read_library_folder(folder)))
        vocab, options = read_folder(folder)
        return cls(vocab, **options)

    @classmethod
    def open(cls, path: str | Path, *, lower_case: bool = True, **options: Any) -> "Tokenizer":
        """A folder, as `from_pretrained`; a `tokenizer.json`, with what lies beside it; else a `vocab.txt` of BERT's,
        which has the options that no file says: those of `Tokenizer`."""
        path = Path(path)
        if path.is_dir():
            return cls.from_pretrained(path)
        if path.name == LIBRARY:
            return cls.from_pretrained(path.parent)
        return cls(load_vocab(path), lower_case=lower_case, **options)

    def save_pretrained(self, folder: str | Path, *, max_length: int | None = None) -> None:
        """Writes `vocab.txt` (or `tokenizer.json`) and `tokenizer_config.json`, which transformers opens.

        `max_length` is the longest sequence of the model that the tokenizer belongs to.
        """
        self._segmenter.save(Path(folder), max_length)
