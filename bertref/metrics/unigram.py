"""The loss of a model that knows only how frequent words are: what a masked language model has to beat."""

import math

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError


def unigram_loss(counts: ArrayLike, held_out_ids: ArrayLike, smoothing: float = 1.0) -> float:
    """Mean of -ln p(id) in nats over the held-out ids, with p(i) = (count(i) + s) / Σ (count + s), s =
    `smoothing`.

    `counts` (V,) are the training documents' token counts, without special tokens; `held_out_ids` the true
    ids at the masked positions of the evaluation. Adding one to each count (Laplace) keeps words that
    training lacks at a probability above 0; with `smoothing=0` such a word costs infinity. NaN if there are
    no ids.

    Raises `InputError` for counts or smoothing below 0, for no counts at all, and for ids outside the
    vocabulary.
    """
    table = np.asarray(counts, dtype=np.float64)
    ids = np.asarray(held_out_ids).reshape(-1)
    if table.ndim != 1 or np.any(table < 0) or not smoothing >= 0:
        raise InputError("unigram baseline: counts must be one non-negative number a word, smoothing non-negative")
    total = float(np.sum(table)) + smoothing * table.size
    if total == 0:
        raise InputError("unigram baseline: no tokens were counted; there is nothing to predict from")
    if not ids.size:
        return math.nan
    if ids.min() < 0 or ids.max() >= table.size:
        raise InputError(f"unigram baseline: an id lies outside the vocabulary of {table.size}")
    drawn = np.bincount(ids, minlength=table.size)
    seen = drawn > 0
    with np.errstate(divide="ignore"):
        costs = math.log(total) - np.log(table[seen] + smoothing)
    return float(np.sum(drawn[seen] * costs) / ids.size)
