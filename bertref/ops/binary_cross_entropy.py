"""Binary cross-entropy of the sigmoid of logits, each element a question of its own with the answer yes or no.

    l_nc = -t log σ(x) - (1 - t) log(1 - σ(x)) = max(x, 0) - x t + log(1 + exp(-|x|))
    loss = Σ_n Σ_c l_nc / d

The second form never overflows and never takes the logarithm of a rounded probability. Targets t may be anything in
[0, 1]: a teacher's probabilities as well as labels. d is the number of elements of the whole batch.

Gradient. σ'(x) = σ(x) (1 - σ(x)) cancels both denominators of the logarithms' derivatives, which leaves

    dx_nc = dloss (σ(x_nc) - t_nc) / d

with σ(x) = 1 / (1 + exp(-x)) for x >= 0 and exp(x) / (1 + exp(x)) below, so that it neither overflows nor loses the
digits of small probabilities.

Edge cases: no row at all gives 0; a logit of ±1000 gives 0 or 1000, as the target is right or wrong; a NaN gives NaN;
the sum is taken in at least float32.

Source: Hugging Face, `BCEWithLogitsLoss` of `BertForSequenceClassification` (multi_label_classification).
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import wide
from .op import Op


class BinaryCrossEntropyCache(NamedTuple):
    """σ(x) - t, which is the derivative but for a factor; the denominator; the logits only for their dtype."""

    difference: Array
    denominator: Array
    logits: Array


class BinaryCrossEntropyGrads(NamedTuple):
    """logits (N, C); targets and denominator are data."""

    logits: Array


def forward(xp: Namespace, logits: Array, targets: Array, denominator: Array) -> tuple[Array, BinaryCrossEntropyCache]:
    """logits (N, C), targets (N, C) in [0, 1], denominator () -> loss (), in at least float32."""
    x, t = wide(xp, logits), wide(xp, targets)
    small = xp.exp(-xp.abs(x))
    losses = xp.maximum(x, xp.zeros_like(x)) - x * t + xp.log1p(small)
    sigmoid = xp.where(x >= 0, xp.ones_like(x), small) / (1 + small)
    return xp.sum(losses) / denominator, BinaryCrossEntropyCache(sigmoid - t, denominator, logits)


def backward(xp: Namespace, dy: Array, cache: BinaryCrossEntropyCache) -> BinaryCrossEntropyGrads:
    """dy (), the gradient of the loss -> gradient of the logits."""
    # loss = sum(max(x, 0) - x t + log(1 + exp(-|x|))) / denominator
    gradient = wide(xp, dy) * cache.difference / cache.denominator
    return BinaryCrossEntropyGrads(xp.astype(gradient, cache.logits.dtype, copy=False))


binary_cross_entropy = Op("binary_cross_entropy", forward, backward)
