"""Cross-entropy of the softmax of logits against one right class a row, weighted.

    l_n  = log Σ_c exp(x[n,c]) - x[n, label_n]            the negative log-probability of the label
    loss = Σ_n w_n l_n / d

The weights say which rows count (0 for an unused prediction slot); the denominator d is an argument, because it belongs
to the objective (`bertref.objectives`) and, when a batch is computed in chunks, to the whole batch. Without weights
every row counts 1.

Gradient. With p = softmax(x), ∂l_n/∂x[n,c] = p[n,c] - [c = label_n], so

    dx[n,c] = dloss (w_n / d) (p[n,c] - [c = label_n])

Edge cases: no row at all gives 0; a row of weight 0 adds exactly 0 to loss and gradient, whatever it holds; a label
whose logit is -inf gives +inf; +inf or NaN among the logits gives NaN.
Labels out of range are refused on the host.

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_masked_lm_output` and `get_next_sentence_output`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from . import log_softmax as log_softmax_
from ._wide import wide
from .op import Op


class CrossEntropyCache(NamedTuple):
    """log_probs (N, C), whose exponential is p; labels and the factors w_n / d; logits only for their dtype."""

    log_probs: Array
    labels: Array
    factors: Array
    logits: Array


class CrossEntropyGrads(NamedTuple):
    """logits (N, C); labels, weights and denominator are data."""

    logits: Array


def forward(
    xp: Namespace, logits: Array, labels: Array, weights: Array | None, denominator: Array
) -> tuple[Array, CrossEntropyCache]:
    """logits (N, C), labels (N) integer, weights (N) or None, denominator () -> loss (), in at least float32."""
    log_probs, _ = log_softmax_.forward(xp, logits)
    chosen = xp.squeeze(xp.take_along_axis(log_probs, xp.expand_dims(labels, axis=1), axis=1), axis=1)
    ones = xp.ones_like(chosen)
    factors = (ones if weights is None else xp.astype(weights, chosen.dtype)) / denominator
    # A slot that does not count must not count even when its logits are not finite.
    loss = -xp.sum(xp.where(factors == 0, xp.zeros_like(chosen), chosen * factors))
    return loss, CrossEntropyCache(log_probs, labels, factors, logits)


def backward(xp: Namespace, dy: Array, cache: CrossEntropyCache) -> CrossEntropyGrads:
    """dy (), the gradient of the loss -> gradient of the logits."""
    log_probs, labels, factors, logits = cache
    classes = xp.arange(log_probs.shape[1], dtype=labels.dtype)
    onehot = xp.expand_dims(labels, axis=1) == xp.expand_dims(classes, axis=0)
    # loss = -Σ factors * (log-softmax at the label)
    difference = xp.exp(log_probs) - xp.astype(onehot, log_probs.dtype)
    rows = xp.expand_dims(factors, axis=1)
    dlogits = xp.where(rows == 0, xp.zeros_like(difference), wide(xp, dy) * rows * difference)
    return CrossEntropyGrads(xp.astype(dlogits, logits.dtype, copy=False))


cross_entropy = Op("cross_entropy", forward, backward)
