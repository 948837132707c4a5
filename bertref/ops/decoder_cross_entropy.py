"""The MLM decoder and its loss: logits over the vocabulary, made with the word embeddings themselves.

    logits = x Eᵀ + b                     x (N, H)   E (V, H)   b (V)
    loss   = Σ_n w_n CE(logits_n, label_n) / d

A composition, for a kernel that never holds all (N, V) logits at once. With a `probe` it shows `logits`; its `figure`
is `predicted` (N), the label of the largest logit (of several equal ones the first).

Gradient: the cross-entropy's own gives dlogits, and the product's

    dx = dlogits E        dE = dlogitsᵀ x        db = Σ dlogits

E is tied to the word embeddings, so its gradient here is one of two parts; the other comes from the embedding lookup.
This part touches every row of the table, that one only rows of ids that occur.

Edge cases: a row of weight 0 adds exactly 0 to loss and gradients, whatever it holds.

In dE that takes more than a dlogits of 0, because 0 times NaN or infinity is NaN: x counts as 0 there, too.

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_masked_lm_output`.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..arrays import Array, Namespace
from . import cross_entropy as cross_entropy_
from . import dense as dense_
from .op import Op

InnerProbe = Callable[[str, Array], None]
Figure = Callable[[str, Array], None]


class DecoderCrossEntropyCache(NamedTuple):
    """The caches of the product, its x with 0 in the rows that do not count, and of the cross-entropy."""

    dense: dense_.DenseCache
    cross_entropy: cross_entropy_.CrossEntropyCache


class DecoderCrossEntropyGrads(NamedTuple):
    """x (N, H), table (V, H), bias (V)."""

    x: Array
    table: Array
    bias: Array


def forward(
    xp: Namespace,
    x: Array,
    table: Array,
    bias: Array,
    labels: Array,
    weights: Array,
    denominator: Array,
    *,
    probe: InnerProbe | None = None,
    figure: Figure | None = None,
) -> tuple[Array, DecoderCrossEntropyCache]:
    """x (N, H), table (V, H), bias (V), labels (N) integer, weights (N), denominator () -> loss ()."""
    logits, dense_cache = dense_.forward(xp, x, table, bias)
    if probe:
        probe("logits", logits)
    if figure:
        figure("predicted", xp.argmax(logits, axis=-1))
    loss, loss_cache = cross_entropy_.forward(xp, logits, labels, weights, denominator)
    counted = xp.where(xp.expand_dims(loss_cache.factors == 0, axis=1), xp.zeros_like(x), x)
    return loss, DecoderCrossEntropyCache(dense_cache._replace(x=counted), loss_cache)


def backward(
    xp: Namespace, dy: Array, cache: DecoderCrossEntropyCache, *, probe: InnerProbe | None = None
) -> DecoderCrossEntropyGrads:
    """dy (), the gradient of the loss -> gradients of x, table and bias."""
    # loss = cross_entropy(logits)
    dlogits = cross_entropy_.backward(xp, dy, cache.cross_entropy).logits
    if probe:
        probe("logits", dlogits)
    # logits = x tableᵀ + bias
    dx, dtable, dbias = dense_.backward(xp, dlogits, cache.dense)
    assert dbias is not None
    return DecoderCrossEntropyGrads(dx, dtable, dbias)


decoder_cross_entropy = Op("decoder_cross_entropy", forward, backward, probes=("logits",), figures=("predicted",))
