"""Words for every [MASK] of a text, by the masked-language-model head."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import heads
from ..errors import InputError, TextError
from ..text.encoding import Encoding, Truncate
from .loaded import Loaded, batches, encode, measured, require, settings_of


class Guess(NamedTuple):
    """One candidate for a mask. The token is as in the vocabulary ("##s" continues a word) or, where a piece has its
    space in it, with that: " sea" begins a word, "s" continues one."""

    token: str
    id: int
    probability: float


class MaskGuesses(NamedTuple):
    """The candidates for one mask, best first; `position` counts the model's tokens from [CLS] = 0."""

    position: int
    top: list[Guess]


def fill_masks(
    loaded: Loaded, texts: Sequence[str], *, top_k: int = 5, truncate: Truncate | None = None
) -> list[list[MaskGuesses]]:
    """For each text the candidates for each of its masks, in order.

    Raises `TextError` for texts that are too long (unless they are cut, see `framed`) or have no mask, `InputError` for
    a model without the head.
    """
    if top_k < 1:
        raise InputError(f"top_k is {top_k}; it must be at least 1")
    require(loaded, "masked_lm")
    vocab = loaded.tokenizer.vocab
    mask, name = vocab.mask, vocab.notation.mask
    encodings, reasons = measured(loaded, texts, None, truncate)
    for i, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
        if mask not in encoding.input_ids:
            where = f"what is left of {text!r}" if name in text else repr(text)
            reasons[i] = f"can't be filled: no {name} in {where}; put {name} where a word is to be guessed"
    if reasons:
        raise TextError(reasons)
    return [masks for some in batches(encodings) for masks in _fill(loaded, some, top_k)]


def _fill(loaded: Loaded, encodings: Sequence[Encoding], top_k: int) -> list[list[MaskGuesses]]:
    vocab, xp = loaded.tokenizer.vocab, loaded.ops.xp
    places = [[i for i, token in enumerate(e.input_ids) if token == vocab.mask] for e in encodings]
    encoded, x = encode(loaded, encodings)
    starts = xp.to_numpy(x.layout.first)
    rows = np.array([starts[b] + i for b, found in enumerate(places) for i in found], np.int64)
    logits = heads.masked_lm_logits(
        loaded.ops, loaded.params, encoded.sequence, xp.from_numpy(rows), settings_of(loaded)
    )
    probs = xp.to_numpy(loaded.ops.softmax.forward(logits)[0])[:, : len(vocab)]
    best = np.argsort(-probs, axis=1, kind="stable")[:, :top_k]
    guesses = iter(
        [[Guess(vocab.readable(i), int(i), float(p[i])) for i in row] for row, p in zip(best, probs, strict=True)]
    )
    return [[MaskGuesses(i, next(guesses)) for i in found] for found in places]
