"""Models of SentencePiece, written with Google's protobuf, and how transformers reads them without the package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers.utils import sentencepiece_model_pb2_new as proto

from .charsmap import charsmap

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
XLM_HEAD = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
ALBERT_HEAD = [
    ("<pad>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("[CLS]", 0.0, CONTROL), ("[SEP]", 0.0, CONTROL),
    ("[MASK]", 0.0, CONTROL), ("(", 0.0, USER_DEFINED), ("–", 0.0, USER_DEFINED),
]  # fmt: skip
REPLACED = {"ﬁ": "fi", "Ⅷ": "VIII", "\u3000": " ", "\t": " ", "\u00a0": " ", "ｶ": "カ", "e\u0301": "é", "\u200b": ""}


def model_file(
    path: Path, head: Sequence[tuple[str, float, int]], pieces: Sequence[tuple[str, float]], **trainer: Any
) -> Path:
    """The file of a unigram model whose first pieces are `head`."""
    known = {piece for piece, *_ in head}
    message = proto.ModelProto()
    for piece, score, kind in (*head, *((piece, score, 1) for piece, score in pieces if piece not in known)):
        message.pieces.add(piece=piece, score=score, type=kind)
    unknown = next(i for i, (_, _, kind) in enumerate(head) if kind == UNKNOWN)
    settings = {"model_type": 1, "unk_id": unknown, "vocab_size": len(message.pieces), **trainer}
    for name, value in settings.items():
        setattr(message.trainer_spec, name, value)
    message.normalizer_spec.name = "few"
    message.normalizer_spec.precompiled_charsmap = charsmap(REPLACED)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(message.SerializeToString())
    return path


def readable_by_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asks for the package sentencepiece before it reads a model with protobuf alone, which it can."""
    monkeypatch.setattr("transformers.convert_slow_tokenizer.requires_backends", lambda *_: None)
