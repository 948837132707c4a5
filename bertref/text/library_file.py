"""What a `tokenizer.json` of the `tokenizers` library says: its vocabulary, and how it frames sequences.

The library cuts texts as the file says; here only that is read which bertref does itself: which ids there are, what the
special tokens are called, how a pair is framed. A file that would need something else is refused by name.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InputError
from .notation import ALBERT, ROBERTA, XLM_ROBERTA, Notation, Style
from .vocab import Vocab

ROLES = ("pad", "unk", "cls", "sep", "mask")
Json = dict[str, Any]


def library_of(parts: Mapping[str, Any], model: Json) -> Json:
    """A `tokenizer.json` of a model and other parts; those that are not given are none."""
    usual: Json = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
    none = dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor", "decoder"))
    return {**usual, **none, **parts, "model": model}


def model_type(library: Mapping[str, Any]) -> str:
    """The type of its model; files of old releases don't say it."""
    model = library.get("model") or {}
    if not isinstance(model, dict):
        return "?"
    told = "BPE" if "merges" in model else "Unigram" if isinstance(model.get("vocab"), list) else "WordPiece"
    return str(model.get("type") or told)


def style_of(library: Mapping[str, Any], where: str) -> Style:
    """"byte-level" or "unigram". Raises `InputError` for every other model."""
    kind, model = model_type(library), library.get("model") or {}
    steps = {step.get("type") for step in steps_of(library.get("pre_tokenizer"))}
    if kind == "BPE" and "ByteLevel" in steps:
        if model.get("dropout"):
            raise InputError(f"{where}: its BPE has dropout = {model['dropout']!r}, so a text has no fixed ids")
        return "byte-level"
    if kind == "Unigram" and "Metaspace" in steps:
        return "unigram"
    cut_by = " + ".join(sorted(map(str, steps))) or "none"
    raise InputError(
        f"{where}: its model is {kind} with the pre-tokenizer {cut_by}; WordPiece, byte-level BPE (RoBERTa) and "
        "Unigram with Metaspace (ALBERT, XLM-R, CamemBERT) are read"
    )


def steps_of(part: Any) -> list[Json]:
    """The normalisers or pre-tokenizers of a part, one by one."""
    if not isinstance(part, dict):
        return []
    some = part.get("normalizers") or part.get("pretokenizers") or part.get("processors")
    return [step for one in some for step in steps_of(one)] if isinstance(some, list) else [part]


def pieces_of(library: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The pieces of the model in the order of their ids. Raises `InputError` if these are not 0, 1, 2, ..."""
    vocab = (library.get("model") or {}).get("vocab")
    if isinstance(vocab, list) and all(isinstance(entry, list) and len(entry) == 2 for entry in vocab):
        return tuple(str(piece) for piece, _ in vocab)
    if not isinstance(vocab, dict):
        raise InputError(f"{where}: its model has no vocabulary that can be read")
    return ordered(vocab, where)


def ordered(ids: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Pieces by their ids. Raises `InputError` if these are not 0, 1, 2, ..."""
    if set(ids.values()) != set(range(len(ids))):
        raise InputError(f"{where}: the ids of its {len(ids)} pieces are not 0 to {len(ids) - 1}")
    return tuple(sorted(ids, key=ids.__getitem__))


def vocab_of(library: Mapping[str, Any], notation: Notation, where: str) -> Vocab:
    """The model's pieces, without added tokens."""
    return Vocab(pieces_of(library, where), where, notation=notation, rules=rules_of(library))


def rules_of(library: Mapping[str, Any]) -> str:
    """SHA-256 of all that decides which ids a text has, but for the added tokens."""
    parts = {name: library.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "model")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def notation_of(library: Mapping[str, Any], named: Mapping[str, str], usual: Notation | None, where: str) -> Notation:
    """The notation of a file: names that other files give (role -> token), and how its post-processor frames.

    `usual` is that of its family; it holds for what no file says. Raises `InputError` for a post-processor that frames
    otherwise than BERT's or RoBERTa's.
    """
    framing = _framing(library.get("post_processor"), where)
    if usual is None:
        if framing is None:
            raise InputError(f"{where}: no post_processor says how sequences begin and end; name its tokenizer_class")
        byte_level = style_of(library, where) == "byte-level"
        usual = ROBERTA if byte_level else ALBERT if framing["cls"] == ALBERT.cls else XLM_ROBERTA
    return usual.called({**named, **(framing or {})})


def check_charsmaps(library: Mapping[str, Any], where: str) -> None:
    """Raises `InputError` for a characters' map that is cut off: the library would crash.

    Four bytes say how long the trie is, of four bytes a unit; the replacements follow it, in UTF-8.
    """
    for step in steps_of(library.get("normalizer")):
        if step.get("type") == "Precompiled":
            try:
                data = base64.b64decode(step["precompiled_charsmap"], validate=True)
                (size,) = struct.unpack_from("<I", data)
                data[4 + size :].decode("utf-8")
                sound = 0 < size <= len(data) - 4 and size % 4 == 0
            except (KeyError, TypeError, ValueError, struct.error):
                sound = False
            if not sound:
                raise InputError(f"{where}: its normaliser's characters' map (precompiled_charsmap) is damaged")


def _framing(processor: Any, where: str) -> dict[str, Any] | None:
    """cls, sep, separators and second_type of a post-processor; None if there is none."""
    if processor is None:
        return None
    kind = processor.get("type")
    if kind in ("RobertaProcessing", "BertProcessing"):
        doubled = kind == "RobertaProcessing"
        return {"cls": processor["cls"][0], "sep": processor["sep"][0], "separators": 1 + doubled,
                "second_type": int(not doubled)}  # fmt: skip
    if kind == "TemplateProcessing":
        single, pair = (list(_template(processor.get(name) or [])) for name in ("single", "pair"))
        if len(single) == 3 and single[1] == ("A", 0, True) and not (single[0][2] or single[2][2]):
            (cls, *_), _, (sep, *_) = single
            for separators in (1, 2):
                for second in (0, 1):
                    middle = [(sep, 0, False)] * separators
                    if pair == [(cls, 0, False), ("A", 0, True), *middle, ("B", second, True), (sep, second, False)]:
                        return {"cls": cls, "sep": sep, "separators": separators, "second_type": second}
    raise InputError(
        f"{where}: its post_processor {kind} frames sequences otherwise than BERT's (one separator between two texts) "
        "or RoBERTa's (two)"
    )


def _template(parts: list[Any]) -> Iterator[tuple[str, int, bool]]:
    """(name, token type, whether it is a segment) of each part."""
    for part in parts:
        kind = "Sequence" if "Sequence" in part else "SpecialToken"
        yield part[kind]["id"], part[kind]["type_id"], kind == "Sequence"
