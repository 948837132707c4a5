"""Cross-entropy of the softmax of logits against a target for every class: smoothed labels.

    l_n  = -Σ_c q[n,c] (x[n,c] - log Σ_j exp(x[n,j]))
    loss = Σ_n l_n / d

A row of targets q need not sum to 1: class weights multiply its elements, and a row that doesn't count is 0 everywhere.
With q[n,c] = w_n [c = label_n] it is `cross_entropy`.

Gradient. ∂ log p_c / ∂x_j = [c = j] - p_j with p = softmax(x), so

    dx[n,j] = dloss (p[n,j] Σ_c q[n,c] - q[n,j]) / d

Edge cases: no row at all gives 0; a target of 0 adds exactly 0 to the loss, even where the logit is -inf; a class of
logit -inf whose target is not 0 gives +inf; a row of targets 0 adds exactly 0 to loss and gradient, whatever its logits
hold.

Source: Szegedy et al. 2016, "Rethinking the Inception architecture", section 7 (label smoothing); torch,
`CrossEntropyLoss` with `label_smoothing`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from . import log_softmax as log_softmax_
from ._wide import wide
from .op import Op


class SoftCrossEntropyCache(NamedTuple):
    """log_probs (N, C), whose exponential is p; targets and denominator, because the gradient has both; logits only for
    their dtype."""

    log_probs: Array
    targets: Array
    denominator: Array
    logits: Array


class SoftCrossEntropyGrads(NamedTuple):
    """logits (N, C); targets and denominator are data."""

    logits: Array


def forward(xp: Namespace, logits: Array, targets: Array, denominator: Array) -> tuple[Array, SoftCrossEntropyCache]:
    """logits (N, C), targets (N, C), 0 or more, denominator () -> loss (), in at least float32."""
    log_probs, _ = log_softmax_.forward(xp, logits)
    q = wide(xp, targets)
    # A class of target 0 must not count even when its logarithm is -inf.
    losses = xp.where(q == 0, xp.zeros_like(log_probs), q * log_probs)
    return -xp.sum(losses) / denominator, SoftCrossEntropyCache(log_probs, q, denominator, logits)


def backward(xp: Namespace, dy: Array, cache: SoftCrossEntropyCache) -> SoftCrossEntropyGrads:
    """dy (), the gradient of the loss -> gradient of the logits."""
    log_probs, targets, denominator, logits = cache
    mass = xp.sum(targets, axis=1, keepdims=True)
    # loss = -Σ targets * log-softmax / denominator
    difference = xp.exp(log_probs) * mass - targets
    dlogits = xp.where(mass == 0, xp.zeros_like(difference), wide(xp, dy) * difference / denominator)
    return SoftCrossEntropyGrads(xp.astype(dlogits, logits.dtype, copy=False))


soft_cross_entropy = Op("soft_cross_entropy", forward, backward)
