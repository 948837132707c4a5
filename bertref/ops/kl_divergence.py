"""Divergence of a student's softmax from a teacher's, at a temperature, weighted by rows: soft labels.

    p = softmax(t / T), q = softmax(x / T)               t the teacher's logits, x the student's
    l_n  = Σ_c p[n,c] (log p[n,c] - log q[n,c])          KL(teacher || student), 0 where they agree
    loss = T² Σ_n w_n l_n / d

A high temperature shows what the teacher thinks of the unlikely classes. Its gradients shrink as 1/T², which the factor
T² makes good.

Gradient. ∂l_n/∂x[n,c] = (q[n,c] - p[n,c]) / T, the derivative of a cross-entropy, so

    dx[n,c] = dloss T (w_n / d) (q[n,c] - p[n,c])

Edge cases: no row at all gives 0; a row of weight 0 adds exactly 0 to loss and gradient, whatever it holds; a class
that both think impossible (-inf) adds 0; a class of the student's logit -inf that the teacher thinks possible gives
+inf.

Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2; torch, `KLDivLoss`.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from . import log_softmax as log_softmax_
from ._wide import wide
from .op import Op


class KlDivergenceCache(NamedTuple):
    """q - p (N, C), which is the derivative but for a factor; those factors, T w_n / d; logits only for their dtype."""

    difference: Array
    factors: Array
    logits: Array


class KlDivergenceGrads(NamedTuple):
    """logits (N, C); what the teacher says, weights and denominator are data."""

    logits: Array


def forward(
    xp: Namespace, logits: Array, teacher_logits: Array, weights: Array, denominator: Array, *, temperature: float
) -> tuple[Array, KlDivergenceCache]:
    """logits and teacher_logits (N, C), weights (N), denominator () -> loss (), in at least float32."""
    log_q, _ = log_softmax_.forward(xp, wide(xp, logits) / temperature)
    log_p, _ = log_softmax_.forward(xp, wide(xp, teacher_logits) / temperature)
    p, zeros = xp.exp(log_p), xp.zeros_like(log_p)
    # A class that the teacher thinks impossible must not count even when its logarithms are -inf.
    ratios = xp.where(p == 0, zeros, log_p) - xp.where(p == 0, zeros, log_q)
    factors = xp.astype(weights, p.dtype) / denominator * temperature
    losses = xp.where(factors == 0, xp.zeros_like(factors), factors * xp.sum(p * ratios, axis=1))
    return xp.sum(losses) * temperature, KlDivergenceCache(xp.exp(log_q) - p, factors, logits)


def backward(xp: Namespace, dy: Array, cache: KlDivergenceCache) -> KlDivergenceGrads:
    """dy (), the gradient of the loss -> gradient of the student's logits."""
    rows = xp.expand_dims(cache.factors, axis=1)
    # loss = T * Σ factors * Σ p (log p - log softmax(x / T))
    dlogits = xp.where(rows == 0, xp.zeros_like(cache.difference), wide(xp, dy) * rows * cache.difference)
    return KlDivergenceGrads(xp.astype(dlogits, cache.logits.dtype, copy=False))


kl_divergence = Op("kl_divergence", forward, backward)
