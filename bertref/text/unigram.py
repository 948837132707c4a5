"""Unigram models as ALBERT, XLM-R and CamemBERT have them, in the form of a `tokenizer.json`.

A text is normalised, cut at white space, and each word gets "▁" in front; of all ways to write that in pieces the one
is taken whose pieces' scores (log-probabilities) have the largest sum. What no piece spells is the unknown token.

Normalising, in this order:

    ALBERT    `` and '' become ";  NFKD and no accents, unless keep_accents;  lower case, if do_lower_case
    all       the characters' map that the model was trained with ("precompiled charsmap")

Sources: Kudo 2018, section 3.2; Lan et al. 2020; google-research/albert, `tokenization.py`, `preprocess_text`;
transformers 5, `tokenization_albert.py` and `tokenization_xlm_roberta.py`, whose order of steps this is. (ALBERT's
original also splits a piece that ends in a digit and a comma; transformers doesn't, so neither does this.)
"""

from collections.abc import Sequence
from typing import Any

from .library_file import Json, library_of, steps_of
from .notation import BEGINS, Notation

UNDERLINE = BEGINS["unigram"]
QUOTES = [{"type": "Replace", "pattern": {"String": quote}, "content": '"'} for quote in ("``", "''")]
WITHOUT_ACCENTS = [{"type": "NFKD"}, {"type": "StripAccents"}]


def unigram_library(
    pieces: Sequence[Sequence[Any]],
    unknown: int | None,
    charsmap: str | None,
    notation: Notation,
    *,
    lower_case: bool,
    keep_accents: bool,
    add_prefix_space: bool,
    quotes: bool,
) -> Json:
    """A `tokenizer.json` without added tokens; `pieces` are (piece, score) by id, `unknown` is the unknown token's id,
    and the others are those of `unigram_steps`."""
    steps = unigram_steps(
        charsmap, lower_case=lower_case, keep_accents=keep_accents, add_prefix_space=add_prefix_space, quotes=quotes
    )
    template = _template(notation, {piece: i for i, (piece, _) in enumerate(pieces)})
    model = {"type": "Unigram", "unk_id": unknown, "vocab": [list(entry) for entry in pieces], "byte_fallback": False}
    return library_of({**steps, "post_processor": template, "decoder": metaspace(add_prefix_space)}, model)


def unigram_steps(
    charsmap: str | None, *, lower_case: bool, keep_accents: bool, add_prefix_space: bool, quotes: bool
) -> Json:
    """Normaliser and pre-tokenizer of a `tokenizer.json`.

    charsmap          base64
    add_prefix_space  every word gets a "▁"
    quotes            ALBERT's steps; without, `lower_case` and `keep_accents` mean nothing
    """
    normalizers: list[Json] = []
    if quotes:
        normalizers = [*QUOTES, *([] if keep_accents else WITHOUT_ACCENTS), *([{"type": "Lowercase"}] * lower_case)]
    if charsmap:
        normalizers.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    split = [{"type": "WhitespaceSplit"}, metaspace(add_prefix_space)]
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if normalizers else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": split},
    }


def metaspace(add_prefix_space: bool, split: bool = True) -> Json:
    """The step that writes spaces as "▁", and one before the first word where there is to be one."""
    scheme = "always" if add_prefix_space else "never"
    return {"type": "Metaspace", "replacement": UNDERLINE, "prepend_scheme": scheme, "split": split}


def has_prefix_space(step: Json) -> bool:
    """What such a step says of the first word; old files say it by add_prefix_space."""
    usual = "always" if step.get("add_prefix_space", True) else "never"
    return bool(step.get("prepend_scheme", usual) != "never")


def is_lower_casing(library: Json) -> bool:
    """Whether texts are lower-cased."""
    return any(step.get("type") == "Lowercase" for step in steps_of(library.get("normalizer")))


def keeps_accents(library: Json) -> bool:
    """Whether accents stay."""
    return not any(step.get("type") == "StripAccents" for step in steps_of(library.get("normalizer")))


def _template(notation: Notation, ids: dict[str, int]) -> Json:
    """The post-processor that frames sequences as the notation says."""

    def special(token: str, kind: int = 0) -> Json:
        return {"SpecialToken": {"id": token, "type_id": kind}}

    def segment(name: str, kind: int = 0) -> Json:
        return {"Sequence": {"id": name, "type_id": kind}}

    cls, sep, second = notation.cls, notation.sep, notation.second_type
    first = [special(cls), segment("A")]
    return {
        "type": "TemplateProcessing",
        "single": [*first, special(sep)],
        "pair": [*first, *[special(sep)] * notation.separators, segment("B", second), special(sep, second)],
        "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)},
    }
