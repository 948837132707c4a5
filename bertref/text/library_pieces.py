"""Byte-level BPE and unigram models: texts are cut by the `tokenizers` library, as they are in transformers.

Framing is bertref's own (`encoding.frame`), and so is what "special tokens are characters" means: without `specials`
their spellings are neither found in a text nor put together from its characters, which a unigram model would do with
"<s>" if that is one of its pieces.

    text             transformers                   here
    ---------------  -----------------------------  ---------------------------------------------------------
    lone surrogates  refused                        read as U+FFFD, which stands for what can't be decoded
"""

import itertools
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..plumbing.files import write_file
from .basic import to_unicode
from .bulk import blocks
from .declared import CONFIG, LIBRARY
from .library_file import ROLES
from .offsets import Piece
from .segmenter import IdsArrays, Text
from .vocab import Vocab, has_surrogate
from .word_numbers import word_numbers

SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


@dataclass(frozen=True)
class LibraryFile:
    """A tokenizer of the library.

    library  a `tokenizer.json`; its added tokens are those of `vocab`
    vocab    its vocabulary, with notation and added tokens
    config   what `tokenizer_config.json` says beside the special tokens, such as tokenizer_class and add_prefix_space
    options  lower_case, add_prefix_space and the like, for whoever wants to know
    """

    library: dict[str, Any]
    vocab: Vocab
    config: dict[str, Any]
    options: dict[str, Any]


class LibraryPieces:
    """A `Segmenter`. Raises `InputError` for a file that the library can't read."""

    def __init__(self, file: LibraryFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._made: dict[bool, Any] = {}
        self._library(specials=True)

    @property
    def vocab(self) -> Vocab:
        return self._file.vocab

    @property
    def options(self) -> dict[str, Any]:
        return self._file.options

    def __reduce__(self) -> tuple[Any, ...]:
        return LibraryPieces, (self._file,)  # the lock and the library's objects stay in their process

    def ids_arrays(self, texts: Iterable[Text], *, specials: bool) -> IdsArrays:
        """See `Segmenter`. Memory is that of the result and one block of text."""
        library = self._library(specials=specials)
        parts: list[npt.NDArray[np.int32]] = []
        lengths: list[int] = []
        for block in blocks(map(_readable, texts)):
            found = [encoding.ids for encoding in library.encode_batch_fast(block, add_special_tokens=False)]
            lengths += map(len, found)
            parts.append(np.fromiter(itertools.chain.from_iterable(found), np.int32))
        ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        return ids, np.cumsum([0, *lengths], dtype=np.int64)

    def locate(self, text: Text, *, specials: bool) -> list[Piece]:
        """The pieces with the library's places in the text; words are told by `word_numbers`."""
        text = _readable(text)
        encoding = self._library(specials=specials).encode(text, add_special_tokens=False)
        added = {token.id for token in self.vocab.added}
        alone = [number in added for number in encoding.ids]
        numbers = word_numbers(text, encoding.offsets, alone)
        return [
            Piece(number, start, end, word)
            for number, (start, end), word in zip(encoding.ids, encoding.offsets, numbers, strict=True)
        ]

    def forget_words(self) -> None:
        """See `Segmenter`; the library's objects remember them, and are made anew."""
        with self._lock:
            self._made.clear()

    def save(self, folder: Path, max_length: int | None) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json`."""
        notation = self.vocab.notation
        names = {f"{role}_token": getattr(notation, role) for role in ROLES}
        config = {
            **self._file.config,
            **{name: token for name, token in names.items() if token in self.vocab.ids},
            **({} if max_length is None else {"model_max_length": max_length}),
        }
        write_file(folder / LIBRARY, _json(self._file.library, indent=None))
        write_file(folder / CONFIG, _json(config, indent=2))

    def _library(self, *, specials: bool) -> Any:
        with self._lock:
            if specials not in self._made:
                import tokenizers

                wanted = self._file.library if specials else _without(self._file.library, self.vocab.notation.names)
                try:
                    made = tokenizers.Tokenizer.from_str(json.dumps(wanted))
                except Exception as error:  # the library raises nothing narrower
                    raise InputError(f"{self.vocab.source}: the tokenizers library can't read it: {error}") from None
                self._made[specials] = made
            return self._made[specials]


def _without(library: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The tokenizer that knows the special tokens neither as added tokens nor as pieces of a unigram model.

    A piece is hidden behind a spelling with a space: no text has one when it comes to the model (Metaspace).
    """
    added = [token for token in library.get("added_tokens") or [] if token["content"] not in names]
    model = library["model"]
    if isinstance(model["vocab"], list):
        hidden = [[f" {piece}" if piece in names else piece, score] for piece, score in model["vocab"]]
        model = {**model, "vocab": hidden}
    return {**library, "added_tokens": added, "model": model}


def _readable(text: Text) -> str:
    """The text as the library takes it."""
    text = to_unicode(text)
    return text.translate(SURROGATES) if has_surrogate(text) else text


def _json(values: dict[str, Any], *, indent: int | None) -> bytes:
    return (json.dumps(values, indent=indent, ensure_ascii=False) + "\n").encode("utf-8")
