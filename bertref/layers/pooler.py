"""The pooler: the first token of every sequence through a dense layer and a tanh.

    y = tanh(x[first] Wᵀ + b)            (B, H)

Variants have relu in place of tanh (`Variant.pooled_by`), and some heads dropout in front of the dense layer.

Source: Devlin et al. 2019, section 3.1 (the vector C); `modeling.py`, `BertModel`, scope "pooler"; transformers,
`RobertaClassificationHead` and `DistilBertForSequenceClassification`, whose dense layers do the pooler's work.
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import POOLER_SITE, Dropout
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe
from .settings import Settings


class PoolerCache(NamedTuple):
    """The caches of the four ops in order, and the activation."""

    gather: Any
    dropout: Any
    dense: Any
    activation: Any
    pooled_by: str


def forward(
    ops: OpSet, p: dict[str, Array], x: Array, layout: Layout, settings: Settings, dropout: Dropout | None = None,
    probe: Probe | None = None,
) -> tuple[Array, PoolerCache]:  # fmt: skip
    """x (T, H) -> y (B, H)."""
    first, gather = ops.gather.forward(x, layout.first)
    keep = dropout.first(POOLER_SITE, first.shape[-1]) if dropout else None
    kept, dropped = ops.dropout.forward(first, keep, scale=dropout.hidden_scale if dropout else 1.0)
    pre, dense = ops.dense.forward(kept, p["dense.weight"], p["dense.bias"])
    pooled_by = settings.config.variant.pooled_by
    y, activation = getattr(ops, pooled_by).forward(pre)
    if probe:
        probe.array("pooled_pre", pre)
        probe.array("pooled", y)
    return y, PoolerCache(gather, dropped, dense, activation, pooled_by)


def of_first(ops: OpSet, p: dict[str, Array], first: Array, settings: Settings) -> Array:
    """x[first] (B, H) -> y (B, H), forward alone, nothing dropped."""
    pre, _ = ops.dense.forward(first, p["dense.weight"], p["dense.bias"])
    y: Array = getattr(ops, settings.config.variant.pooled_by).forward(pre)[0]
    return y


def backward(ops: OpSet, dy: Array, cache: PoolerCache, probe: Probe | None = None) -> tuple[Array, dict[str, Array]]:
    """dy (B, H) -> dx (T, H), 0 but at the first tokens, and the gradients of the dense layer."""
    # y = activation(pre)
    dpre = getattr(ops, cache.pooled_by).backward(dy, cache.activation).x
    # pre = kept Wᵀ + b
    dense = ops.dense.backward(dpre, cache.dense)
    if probe:
        probe.array("pooled", dy)
        probe.array("pooled_pre", dpre)
    # kept = dropout(first)
    dfirst = ops.dropout.backward(dense.x, cache.dropout).x
    # first = x[layout.first]
    dx = ops.gather.backward(dfirst, cache.gather).x
    return dx, {"dense.weight": dense.weight, "dense.bias": dense.bias}
