"""BERT's segmentation, fast: `FullTokenizer`'s results for many texts at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .added import AddedTokens
from .basic import BasicTokenizer, Control, check_control, to_unicode
from .bulk import Pieces, Words, blocks
from .folder import write_folder
from .offsets import Locator, Piece
from .segmenter import IdsArrays, Text
from .vocab import Vocab


class BertPieces:
    """A `Segmenter`; the options are those that `Tokenizer` documents. Raises `InputError` for one that can't be."""

    def __init__(
        self,
        vocab: Vocab,
        *,
        lower_case: bool,
        strip_accents: bool | None,
        tokenize_chinese_chars: bool,
        max_chars_per_word: int,
        control: Control,
    ) -> None:
        check_control(control)
        if max_chars_per_word < 1:
            raise InputError(f"max_chars_per_word is {max_chars_per_word}; it must be at least 1")
        self.vocab = vocab
        steps: dict[str, Any] = {
            "lower_case": lower_case, "strip_accents": strip_accents,
            "tokenize_chinese_chars": tokenize_chinese_chars, "control": control,
        }  # fmt: skip
        self.options: dict[str, Any] = {
            "lower_case": lower_case, "strip_accents": strip_accents,
            "tokenize_chinese_chars": tokenize_chinese_chars, "max_chars_per_word": max_chars_per_word,
            "control": control,
        }  # fmt: skip
        normalize = BasicTokenizer(**steps).normalize
        added = {specials: AddedTokens(vocab.found_whole(specials=specials), normalize) for specials in (False, True)}
        self._words = {specials: Words(added=some, **steps) for specials, some in added.items()}
        self._pieces = Pieces(vocab, max_chars_per_word)
        self._locator = Locator(vocab, added, **self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.vocab, self.options)  # locks and the library's model stay in their process

    def ids_arrays(self, texts: Iterable[Text], *, specials: bool) -> IdsArrays:
        """See `Segmenter`. Memory is that of the result and one block of text."""
        parts: list[npt.NDArray[np.int32]] = []
        bounds = [np.zeros(1, np.int64)]
        total = 0
        for block in blocks(to_unicode(text) for text in texts):
            ids, ends = self._pieces.ids(self._words[specials].split(block))
            parts.append(ids)
            bounds.append(ends[1:] + total)
            total += len(ids)
        return np.concatenate(parts) if parts else np.zeros(0, np.int32), np.concatenate(bounds)

    def locate(self, text: Text, *, specials: bool) -> list[Piece]:
        """See `offsets`."""
        return self._locator.locate(text, specials=specials)

    def forget_words(self) -> None:
        """See `Segmenter`."""
        self._pieces.forget()

    def save(self, folder: Path, max_length: int | None) -> None:
        """Writes `vocab.txt` and `tokenizer_config.json`."""
        write_folder(folder, self.vocab, self.options, max_length)


def _rebuild(vocab: Vocab, options: dict[str, Any]) -> BertPieces:
    return BertPieces(vocab, **options)
