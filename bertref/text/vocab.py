"""The vocabulary: an ordered list of pieces, where a piece's number is its id, and the tokens added to it.

`vocab.txt` holds one token a line (google-research/bert, `tokenization.py`, `load_vocab`): the id is the
line's number counted from 0, white space at both ends of a line is not part of the token, "##" marks a piece
that continues a word. Nothing but the order says which id a token has, so a file whose ids could be read in
two ways (a blank line, a repeated token) is refused rather than guessed at.

Tokens that were added to a model later stand in other files (see `folder`). Their ids go on where the file ends.

The pieces of byte-level BPE and unigram models are numbered alike. They stand in files of other forms, with what else
decides a text's ids: merges, scores, a normaliser (see `library_file`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..plumbing.files import write_file
from .added import AddedToken
from .byte_level import spelling
from .notation import BERT, Notation

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = BERT.names


@dataclass(frozen=True)
class Vocab:
    """V tokens in the order of their ids: pieces, then what `extended` added behind them.

    source       only serves messages: the file that the tokens came from
    added        what texts are searched for before they are split into words (see `added`); some may be pieces, too
    piece_count  how many of the tokens are pieces; None: all
    notation     what the special tokens are called, and which pieces begin a word
    rules        hexadecimal SHA-256 of what else decides a text's ids (merges, scores, ...); "" for word pieces

    Raises `InputError` for a token that is there twice and, of word pieces, for one that a line of a file could not
    hold: blank, with a line break or white space at an end, or a lone surrogate. Any of the five special tokens may be
    absent; asking for the id of one that is raises `InputError`.
    """

    tokens: tuple[str, ...]
    source: str = field(default="vocabulary", compare=False)
    added: tuple[AddedToken, ...] = ()
    piece_count: int | None = None
    notation: Notation = BERT
    rules: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if self.piece_count is None:
            object.__setattr__(self, "piece_count", len(self.tokens))
        if not self.tokens:
            raise InputError(f"{self.source}: no tokens; a vocabulary has one token a line")
        if self.notation.style != "wordpiece":
            self._check_unique()
        elif not _is_plain(self.tokens[: self.piece_count]):
            self._check_lines()

    def _check_unique(self) -> None:
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise InputError(f"{self.source}: the piece {twice!r} is there twice; a piece can have only one id")

    def _check_lines(self) -> None:
        """Raises `InputError` for the first token that can't be one, and for the first that is there twice."""
        first: dict[str, int] = {}
        for line, token in enumerate(self.tokens[: self.piece_count], start=1):
            self._check(token, line)
            if token in first:
                raise InputError(
                    f"{self.source}, line {line}: token {token!r} is already on line {first[token]}; "
                    "a token can have only one id"
                )
            first[token] = line

    def _check(self, token: str, line: int) -> None:
        where = f"{self.source}, line {line}"
        if not token.strip():
            raise InputError(f"{where}: blank; every line is a token and its number the token's id")
        if token != token.strip() or "\n" in token or "\r" in token:
            raise InputError(f"{where}: token {token!r} has white space at an end or a line break")
        if has_surrogate(token):
            raise InputError(f"{where}: token {token!r} has a lone surrogate, which UTF-8 cannot hold")

    def extended(self, added: Iterable[AddedToken], source: str) -> "Vocab":
        """The same pieces with added tokens in place of those there were; `source` is the file that names them.

        Raises `InputError` for a spelling that is empty, there twice or no text, and for an id that is neither that of
        the spelling nor the next behind the vocabulary.
        """
        added = tuple(added)
        tokens = list(self.tokens[: self.piece_count])
        known = dict(self.pieces)
        for token in sorted(added, key=lambda token: token.id):
            where = f"{source}: the added token {token.content!r}"
            number = known.setdefault(token.content, len(tokens))
            if token.id != number:
                right = f"its id is {number}" if number < len(tokens) else f"the next that is free is {number}"
                raise InputError(f"{where} has the id {token.id}; {right}")
            if not token.content or "\0" in token.content or has_surrogate(token.content):
                raise InputError(f"{where} is empty, or holds U+0000 or a lone surrogate; remove it")
            if number == len(tokens):
                tokens.append(token.content)
        if len({token.content for token in added}) < len(added):
            raise InputError(f"{source}: a token is added twice; every spelling has one id")
        return replace(self, tokens=tuple(tokens), added=added)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def size(self) -> int:
        """V, the number of tokens."""
        return len(self.tokens)

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """Token -> id, of all tokens. Do not change it."""
        if self.piece_count == len(self.tokens):
            return self.pieces
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def pieces(self) -> Mapping[str, int]:
        """Piece -> id: what words are made of. Do not change it."""
        return {token: number for number, token in enumerate(self.tokens[: self.piece_count])}

    def found_whole(self, *, specials: bool) -> tuple[AddedToken, ...]:
        """The tokens that a text is searched for: the added ones and, with `specials`, "[MASK]" and its like."""
        names = self.notation.names
        named = tuple(token for token in self.added if specials or token.content not in names)
        known = {token.content for token in named}
        rest = [token for token in dict.fromkeys(names) if specials and token in self.ids and token not in known]
        return named + tuple(map(self.own, rest))

    def own(self, special: str) -> AddedToken:
        """One of the five special tokens as it is found where nothing else is said of it: spelt exactly."""
        return AddedToken(special, self.ids[special], normalized=False, special=True)

    def id_of(self, token: str) -> int:
        """The id of a token that has to be there; if it is not, `InputError` names the token and the file."""
        if token not in self.ids:
            raise InputError(f"{self.source}: the vocabulary has no {token}, which is needed here")
        return self.ids[token]

    def require_specials(self) -> None:
        """Raises `InputError` where one of the special tokens is missing: pre-training needs them all."""
        for token in self.notation.names:
            self.id_of(token)

    def readable(self, number: int) -> str:
        """A token for people: a piece that has its space in it with that, any other as it is."""
        token = self.tokens[number]
        return token if self.notation.style == "wordpiece" else spelling([token], self.notation.style)

    @property
    def pad(self) -> int:
        """Id of [PAD], which fills a batch up to its longest sequence."""
        return self.id_of(self.notation.pad)

    @property
    def unk(self) -> int:
        """Id of [UNK], which stands for a word that no sequence of pieces spells."""
        return self.id_of(self.notation.unk)

    @property
    def cls(self) -> int:
        """Id of [CLS], the first token of every sequence."""
        return self.id_of(self.notation.cls)

    @property
    def sep(self) -> int:
        """Id of [SEP], which ends each segment."""
        return self.id_of(self.notation.sep)

    @property
    def mask(self) -> int:
        """Id of [MASK], which hides a token in pre-training."""
        return self.id_of(self.notation.mask)

    @cached_property
    def is_subword(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token continues the word to its left ("##..."); read-only. Added tokens begin one."""
        continues = self.notation.continues
        flags = np.array([continues(token) for token in self.tokens], np.bool_)
        if self.notation.style != "wordpiece":
            flags[[token.id for token in self.added]] = False
        flags.setflags(write=False)
        return flags

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of those of the five special tokens that the vocabulary has."""
        return frozenset(self.ids[token] for token in self.notation.names if token in self.ids)

    @cached_property
    def content(self) -> bytes:
        """What `save` writes: the pieces in UTF-8, one a line, every line ended by a line feed."""
        return "".join(token + "\n" for token in self.tokens[: self.piece_count]).encode("utf-8")

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of `content`: what `sha256sum vocab.txt` prints; of the added tokens as well if there
        are any, and of `rules`. Equal hash, equal ids."""
        added = json.dumps(self.added, separators=(",", ":")).encode() if self.added else b""
        return hashlib.sha256(self.content + added + self.rules.encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # what is derived is derived again

    def save(self, path: str | Path) -> None:
        """Writes `vocab.txt`, the word pieces; an existing file is replaced whole or not at all (`InputError`)."""
        write_file(Path(path), self.content)


def load_vocab(path: str | Path, *, require: Iterable[str] = ()) -> Vocab:
    """Reads a `vocab.txt`.

    `require` names tokens without which the caller cannot go on, for example `("[MASK]",)`. Raises
    `InputError` if the file is missing, empty, not UTF-8 (with the line), has a blank or repeated line, or
    lacks a required token.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a vocabulary (one token a line) is expected here") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8; is this a vocabulary file?") from None
    lines = text.split("\n")  # nothing else ends a line: U+0085 or U+2028 may be parts of tokens
    if not lines[-1]:
        lines.pop()
    vocab = Vocab(tuple(line.strip() for line in lines), source=str(path))
    for token in require:
        vocab.id_of(token)
    return vocab


def _is_plain(tokens: tuple[str, ...]) -> bool:
    """Whether all tokens are fit, as those of nearly every vocabulary are: none has any white space, is there twice or
    holds a lone surrogate. One look at all of them, because a vocabulary is read before anything is answered."""
    text = "\n".join(tokens)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return text.split() == list(tokens) and len(set(tokens)) == len(tokens)


def has_surrogate(text: str) -> bool:
    """Whether a text holds half of a surrogate pair, as text decoded with errors="surrogateescape" does."""
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)
