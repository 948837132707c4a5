"""Byte-level BPE as RoBERTa has it: `vocab.json` and `merges.txt`, in the form of a `tokenizer.json`.

Text is UTF-8, and each of the 256 bytes is written as one visible character, so that no text has an unknown character
and a space is a letter like any other ("Ġ"). Words are cut by GPT-2's rule, in which a word takes the space before it
along; within a word the pair of neighbours that stands first in the list of merges is joined, again and again.

`vocab.json`  {"<s>": 0, "<pad>": 1, ..., "Ġthe": 5, ...}
`merges.txt`  a line "#version: ..." that may be missing, then a merge a line, two pieces with a space between

Sources: Sennrich et al. 2016; Radford et al. 2019, section 2.2; openai/gpt-2, `encoder.py`, `bytes_to_unicode`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .notation import BEGINS, Notation, Style

VERSION = "#version"


def byte_letters() -> dict[int, str]:
    """Byte -> the character it is written as: itself where that is visible, else the next one from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


BYTES = {letter: byte for byte, letter in byte_letters().items()}
"""Character -> the byte that it stands for."""


def bytes_of(token: str) -> bytes:
    """The bytes of a piece; an added token with other characters is its own UTF-8."""
    if all(letter in BYTES for letter in token):
        return bytes(BYTES[letter] for letter in token)
    return token.encode("utf-8", "replace")


def spelling(tokens: Sequence[str], style: Style) -> str:
    """What pieces spell that have their spaces in them, of either style; bytes that are no UTF-8 become U+FFFD."""
    if style == "byte-level":
        return b"".join(map(bytes_of, tokens)).decode("utf-8", "replace")
    return "".join(tokens).replace(BEGINS[style], " ")


def read_merges(path: Path) -> list[list[str]]:
    """The merges of a `merges.txt`, the first to be done first.

    Raises `InputError` if the file is missing, not UTF-8, or has a line that is not two pieces.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; the merges belong to vocab.json, without them no piece is longer than a byte"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read: {error}") from None
    merges: list[list[str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith(VERSION)):
            continue
        pair = line.rstrip("\r").split(" ")
        if len(pair) != 2 or not all(pair):
            raise InputError(f"{path}, line {number}: {line!r} is no merge, which is two pieces with a space between")
        merges.append(pair)
    return merges


def byte_level_model(vocab: Mapping[str, int], merges: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The part "model" of a `tokenizer.json`, as the library writes it."""
    return {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": dict(vocab),
        "merges": [list(pair) for pair in merges],
    }  # fmt: skip


def byte_level_parts(
    notation: Notation, ids: Mapping[str, int], *, add_prefix_space: bool, trim_offsets: bool
) -> dict[str, Any]:
    """The other parts of a `tokenizer.json` but for the added tokens; `ids` has those of the special tokens."""
    space = {"add_prefix_space": add_prefix_space, "trim_offsets": trim_offsets}
    return {
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", **space, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing", "sep": [notation.sep, ids[notation.sep]],
            "cls": [notation.cls, ids[notation.cls]], **space,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    }  # fmt: skip
