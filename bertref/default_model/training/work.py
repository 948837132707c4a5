"""How much a stage has to compute, planned from its data before it runs and measured from its log behind it.

Counted are the products, two operations for each multiplication (`bench.flops`); backward takes twice what forward
does. A teacher that is asked once about every text adds one forward. Elementwise work and evaluations are not counted.
"""

from dataclasses import dataclass
from pathlib import Path

from ...bench import flops
from ...config import BertConfig
from .rows import read_rows

PIECES = 1.35
"""Tokens of a word, on the average of reviews in a vocabulary of some thousand."""


@dataclass(frozen=True)
class Work:
    """Tokens, in sequences of the mean length, and floating-point operations."""

    tokens: int
    operations: float


def trained(config: BertConfig, tokens: int, length: float, *, predicted: float = 0.0) -> Work:
    """Forward and backward over `tokens` in sequences of `length`; a share `predicted` of them goes to the decoder."""
    forward = _encoder(config, tokens, length) + flops.masked_lm(config, round(predicted * tokens))
    return Work(tokens, 3 * forward)


def asked(config: BertConfig, tokens: int, length: float) -> Work:
    """Forward alone."""
    return Work(tokens, _encoder(config, tokens, length))


def _encoder(config: BertConfig, tokens: int, length: float) -> float:
    mean = max(1, round(length))
    return flops.encoder(config, [mean]) * tokens / mean


def lengths(path: Path, limit: int) -> list[int]:
    """About how many tokens the texts of a file of JSON lines have, as far as `limit`."""
    return [min(limit, round(PIECES * len(row["text"].split())) + 2) for row in read_rows(path)]


def logged(path: Path) -> tuple[int, float]:
    """Tokens and seconds of a training, from the log of all its runs; each counts from 0."""
    tokens, seconds = 0, 0.0
    last: tuple[int, float] = (0, 0.0)
    for event in (row for row in read_rows(path) if row.get("event") == "step"):
        now = (int(event["tokens"]), float(event["seconds"]))
        if now[1] < last[1]:  # a run that was resumed
            tokens, seconds = tokens + last[0], seconds + last[1]
        last = now
    return tokens + last[0], seconds + last[1]
