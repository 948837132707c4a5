"""What the small heads are made of: a dense layer behind dropout.

    logits = dropout(x) Wᵀ + b

Gradient: the dense layer's own, then dropout's:

    d(kept) = dlogits W        dW = dlogitsᵀ kept        db = Σ dlogits        dx = keep ∘ d(kept) · scale
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import HEAD_SITE, Dropout
from ..opset import OpSet


class DroppedDenseCache(NamedTuple):
    """The caches of the two ops in order."""

    dropout: Any
    dense: Any


def forward(
    ops: OpSet, weight: Array, bias: Array, x: Array, dropout: Dropout | None, *, tokens: bool
) -> tuple[Array, DroppedDenseCache]:
    """x (T, H), rows of `tokens`, or (B, H), one a sequence -> logits. Without `dropout` nothing is dropped."""
    draw = None if dropout is None else dropout.hidden if tokens else dropout.first
    kept, dropped = ops.dropout.forward(
        x, draw(HEAD_SITE, x.shape[-1]) if draw else None, scale=dropout.hidden_scale if dropout else 1.0
    )
    logits, dense = ops.dense.forward(kept, weight, bias)
    return logits, DroppedDenseCache(dropped, dense)


def backward(ops: OpSet, dlogits: Array, cache: DroppedDenseCache) -> tuple[Array, Array, Array]:
    """dlogits -> the gradients of x, of the weight and of the bias."""
    # logits = kept Wᵀ + b
    dense = ops.dense.backward(dlogits, cache.dense)
    # kept = dropout(x)
    return ops.dropout.backward(dense.x, cache.dropout).x, dense.weight, dense.bias
