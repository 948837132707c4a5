"""From token vectors to one vector a text.

    cls                    the vector of the first token, [CLS]
    max                    the largest value of every component
    mean                   Σ x / n, over the n real tokens, [CLS] and [SEP] among them
    mean_sqrt_len_tokens   Σ x / √n
    weightedmean           Σ i x_i / Σ i, with i = 1, 2, ... from the first token
    lasttoken              the vector of the last token, [SEP]

The names are those of sentence-transformers, whose `Pooling` this is; sums are taken in at least float32.

Source: Reimers and Gurevych 2019, section 3 (cls, max, mean).
"""

import numpy as np

from ...arrays import Array, Namespace
from ...errors import InputError
from ...layout import Layout
from ...probes import padded

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def check_mode(mode: str, allowed: tuple[str, ...] = MODES) -> None:
    """Raises `InputError` for a pooling that does not exist."""
    if mode not in allowed:
        raise InputError(f"no pooling {mode!r}; there are {', '.join(allowed)}")


def pool(xp: Namespace, sequence: Array, layout: Layout, mode: str) -> Array:
    """The sequence (T, H) in either layout -> (B, H)."""
    check_mode(mode)
    x = padded(xp, sequence, layout)
    if xp.finfo(x.dtype).bits < 32:
        x = xp.astype(x, xp.float32)
    B, S, H = x.shape
    mask = xp.to_numpy(layout.mask)
    if mode in ("cls", "lasttoken"):
        last = mask.sum(axis=1) - 1
        rows = np.arange(B) * S + (0 if mode == "cls" else np.maximum(last, 0))
        return xp.take(xp.reshape(x, (B * S, H)), xp.from_numpy(rows.astype(np.int64)), axis=0)
    if mode == "max":
        real = xp.expand_dims(layout.mask, axis=-1)
        return xp.max(xp.where(real, x, xp.full_like(x, -float("inf"))), axis=1)
    weights = mask.astype(xp.dtype_name(x.dtype))
    if mode == "weightedmean":
        weights = weights * np.arange(1, S + 1, dtype=weights.dtype)
    total = weights.sum(axis=1, keepdims=True)
    divisor = np.sqrt(total) if mode == "mean_sqrt_len_tokens" else total
    factors = xp.expand_dims(xp.from_numpy(weights), axis=-1)
    return xp.sum(x * factors, axis=1) / xp.from_numpy(divisor)


def normalized(xp: Namespace, x: Array) -> Array:
    """Every row (B, H) divided by its length; a row of zeros stays one."""
    lengths = xp.sqrt(xp.sum(xp.square(x), axis=-1, keepdims=True))
    return x / xp.maximum(lengths, xp.full_like(lengths, 1e-12))
