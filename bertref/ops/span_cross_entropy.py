"""Cross-entropy of an answer span: one softmax over the positions for its start, one for its end.

    loss = (CE(start_logits, start) + CE(end_logits, end)) / 2

Each CE is `cross_entropy` with the classes being the S positions. A sequence whose answer lies outside its window has
weight 0 (or points at [CLS], by the task's choice).

Gradient: half of each cross-entropy's own.

Source: Devlin et al. 2019, section 4.2; `run_squad.py`, `compute_loss`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from . import cross_entropy as cross_entropy_
from .op import Op


class SpanCrossEntropyCache(NamedTuple):
    """The caches of the two cross-entropies."""

    start: cross_entropy_.CrossEntropyCache
    end: cross_entropy_.CrossEntropyCache


class SpanCrossEntropyGrads(NamedTuple):
    """start_logits and end_logits, each (B, S)."""

    start_logits: Array
    end_logits: Array


def forward(
    xp: Namespace,
    start_logits: Array,
    end_logits: Array,
    start_positions: Array,
    end_positions: Array,
    weights: Array | None,
    denominator: Array,
) -> tuple[Array, SpanCrossEntropyCache]:
    """logits (B, S), positions (B) integer, weights (B) or None, denominator () -> loss ()."""
    start_loss, start = cross_entropy_.forward(xp, start_logits, start_positions, weights, denominator)
    end_loss, end = cross_entropy_.forward(xp, end_logits, end_positions, weights, denominator)
    return (start_loss + end_loss) * 0.5, SpanCrossEntropyCache(start, end)


def backward(xp: Namespace, dy: Array, cache: SpanCrossEntropyCache) -> SpanCrossEntropyGrads:
    """dy (), the gradient of the loss -> gradients of both logits."""
    # loss = (start_loss + end_loss) * 0.5
    half = dy * 0.5
    start = cross_entropy_.backward(xp, half, cache.start).logits
    end = cross_entropy_.backward(xp, half, cache.end).logits
    return SpanCrossEntropyGrads(start, end)


span_cross_entropy = Op("span_cross_entropy", forward, backward)
