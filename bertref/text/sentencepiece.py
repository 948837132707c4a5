"""A model of SentencePiece, read without its package: pieces, scores, kinds, and the characters' map.

    ModelProto       1 pieces (repeated SentencePiece)   2 trainer_spec   3 normalizer_spec
    SentencePiece    1 piece (string)   2 score (float)   3 type: 1 normal, 2 unknown, 3 control, 4 user-defined,
                     5 unused, 6 byte
    TrainerSpec      3 model_type: 1 unigram, 2 BPE, 3 word, 4 char   35 byte_fallback   40 unk_id
    NormalizerSpec   2 precompiled_charsmap (bytes)

What is missing has protobuf's default: score 0, type normal, model_type unigram, unk_id 0. Fields with other numbers
are passed over. (Fields 3, 4 and 5 of the normaliser, which say how white space is treated, are the same in all of
these models; the pre-tokenizer of `unigram` does what they say.)

The ids of XLM-R and CamemBERT are those of fairseq, whose first pieces are its own:

    ALBERT      the model's ids
    XLM-R       <s> 0, <pad> 1, </s> 2, <unk> 3; the model's 3, 4, ... are 4, 5, ...; <mask> behind the last
    CamemBERT   <s>NOTUSED 0, <pad> 1, </s>NOTUSED 2, <unk> 3, <unk>NOTUSED 4; the model's 1, 2, ... are 5, 6, ...;
                <mask> behind the last. <s> and </s> are the model's 1 and 2: 5 and 6.

Sources: google/sentencepiece, `sentencepiece_model.proto`; fairseq, `dictionary.py`; transformers 5,
`convert_slow_tokenizer.py`, `XLMRobertaConverter` and `CamembertConverter`.
"""

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..plumbing.protobuf import BYTES, FOUR_BYTES, VARINT, fields, read_varint
from .families import Family
from .library_file import Json
from .notation import Notation
from .unigram import unigram_library

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNIGRAM = 1
MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}
XLM_HEAD = (UNKNOWN, CONTROL, CONTROL)
"""The kinds of the first pieces of XLM-R's and CamemBERT's models: <unk>, <s>, </s>."""
NEVER = -100.0
"""The score of a piece that is not to be used."""


class SentencePiece(NamedTuple):
    """One piece; `kind` is its type."""

    piece: str
    score: float = 0.0
    kind: int = NORMAL


@dataclass(frozen=True)
class SentencePieceModel:
    """What a file says of a unigram model; `charsmap` may be empty."""

    pieces: tuple[SentencePiece, ...]
    unk_id: int
    charsmap: bytes


def parse_model(data: bytes, where: str) -> SentencePieceModel:
    """A unigram model from the bytes of its file.

    Raises `InputError` for what is no such file, a model of another type, a piece of an unknown type, and an unk_id
    whose piece is not of the type unknown.
    """
    pieces: list[SentencePiece] = []
    trainer, normalizer = b"", b""
    try:
        for number, kind, content in fields(data):
            if (number, kind) == (1, BYTES):
                pieces.append(_piece(content))
            elif (number, kind) == (2, BYTES):
                trainer += content  # the parts of a message that is there twice are one message
            elif (number, kind) == (3, BYTES):
                normalizer += content
        numbers = {number: read_varint(content, 0)[0] for number, kind, content in fields(trainer) if kind == VARINT}
        maps = [content for number, kind, content in fields(normalizer) if (number, kind) == (2, BYTES)]
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{where}: no model of SentencePiece, or a damaged one: {error}") from None
    _check(pieces, numbers, where)
    return SentencePieceModel(tuple(pieces), numbers.get(40, 0), maps[-1] if maps else b"")


def read_sentencepiece(path: Path, family: Family, notation: Notation, options: dict[str, bool]) -> Json:
    """A `tokenizer.json` for a family's model of SentencePiece; `options` are lower_case, keep_accents (both of ALBERT
    alone) and add_prefix_space. Control and user-defined pieces become added tokens, as in transformers.

    Raises `InputError` as `parse_model` does, and for a model that is not the family's.
    """
    try:
        model = parse_model(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from None
    numbered, unknown = _numbered(model, family, notation, str(path))
    charsmap = base64.b64encode(model.charsmap).decode() if model.charsmap else None
    library = unigram_library(numbered, unknown, charsmap, notation, **options, quotes=family.name == "ALBERT")
    ids = {piece: number for number, (piece, _) in enumerate(numbered)}
    found = {p.piece: p.kind == CONTROL for p in model.pieces if p.kind in (CONTROL, USER_DEFINED)}
    if family.name == "CamemBERT":
        found |= dict.fromkeys(("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"), True)
    added = [
        {"id": ids[piece], "content": piece, "normalized": False, "special": special}
        for piece, special in found.items()
        if piece not in notation.names
    ]
    return {**library, "added_tokens": added}


def _numbered(
    model: SentencePieceModel, family: Family, notation: Notation, where: str
) -> tuple[list[tuple[str, float]], int]:
    """(piece, score) in the order of the family's ids, and the id of the unknown token."""
    own = [(piece.piece, piece.score) for piece in model.pieces]
    special = dict.fromkeys((notation.cls, notation.pad, notation.sep, notation.unk), 0.0)
    if family.name == "ALBERT":
        missing = next((name for name in (notation.cls, notation.sep) if name not in dict(own)), None)
        if missing:
            raise InputError(f"{where}: has no piece {missing}, which begins or ends ALBERT's sequences")
        return own, model.unk_id
    if tuple(piece.kind for piece in model.pieces[:3]) != XLM_HEAD:
        raise InputError(f"{where}: its first pieces are not <unk>, <s> and </s>, as {family.name}'s are")
    if family.name == "XLM-R":
        head, rest = list(special.items()), own[3:]
    else:
        names = ("<s>NOTUSED", notation.pad, "</s>NOTUSED", notation.unk)
        head, rest = [*((name, 0.0) for name in names), ("<unk>NOTUSED", NEVER)], own[1:]
    return [*head, *rest, (notation.mask, 0.0)], 3


def _piece(data: bytes) -> SentencePiece:
    values: dict[str, Any] = {}
    for number, kind, content in fields(data):
        if (number, kind) == (1, BYTES):
            values["piece"] = content.decode("utf-8")
        elif (number, kind) == (2, FOUR_BYTES):
            (values["score"],) = struct.unpack("<f", content)
        elif (number, kind) == (3, VARINT):
            values["kind"] = read_varint(content, 0)[0]
    if not values.get("piece"):
        raise ValueError("a piece without its spelling")
    return SentencePiece(**values)


def _check(pieces: list[SentencePiece], numbers: dict[int, int], where: str) -> None:
    kind = numbers.get(3, UNIGRAM)
    if not pieces:
        raise InputError(f"{where}: no model of SentencePiece, or an empty one: it has no pieces")
    if kind != UNIGRAM:
        raise InputError(f"{where}: its model is {MODEL_TYPES.get(kind, kind)}; only unigram models are read")
    for i, piece in enumerate(pieces):
        if not NORMAL <= piece.kind <= BYTE:
            raise InputError(f"{where}: piece {i}, {piece.piece!r}, is of the unknown type {piece.kind}")
        if piece.kind == BYTE:
            raise InputError(
                f"{where}: piece {i}, {piece.piece!r}, is a byte to fall back on, which none of these models has"
            )
    unknown = numbers.get(40, 0)
    if unknown >= len(pieces) or pieces[unknown].kind != UNKNOWN:
        raise InputError(f"{where}: its unk_id is {unknown}, which is not the number of a piece of the type unknown")
