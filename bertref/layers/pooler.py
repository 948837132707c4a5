"""The pooler: the first token of every sequence through a dense layer and a tanh.

    y = tanh(x[first] Wᵀ + b)            (B, H)

Source: Devlin et al. 2019, section 3.1 (the vector C); `modeling.py`, `BertModel`, scope "pooler".
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe


class PoolerCache(NamedTuple):
    """The caches of the three ops in order."""

    gather: Any
    dense: Any
    tanh: Any


def forward(
    ops: OpSet, p: dict[str, Array], x: Array, layout: Layout, probe: Probe | None = None
) -> tuple[Array, PoolerCache]:
    """x (T, H) -> y (B, H)."""
    first, gather = ops.gather.forward(x, layout.first)
    pre, dense = ops.dense.forward(first, p["dense.weight"], p["dense.bias"])
    y, tanh = ops.tanh.forward(pre)
    if probe:
        probe.array("pooled_pre", pre)
        probe.array("pooled", y)
    return y, PoolerCache(gather, dense, tanh)


def of_first(ops: OpSet, p: dict[str, Array], first: Array) -> Array:
    """x[first] (B, H) -> y (B, H), forward alone."""
    pre, _ = ops.dense.forward(first, p["dense.weight"], p["dense.bias"])
    return ops.tanh.forward(pre)[0]


def backward(ops: OpSet, dy: Array, cache: PoolerCache, probe: Probe | None = None) -> tuple[Array, dict[str, Array]]:
    """dy (B, H) -> dx (T, H), 0 but at the first tokens, and the gradients of the dense layer."""
    # y = tanh(pre)
    dpre = ops.tanh.backward(dy, cache.tanh).x
    # pre = first Wᵀ + b
    dense = ops.dense.backward(dpre, cache.dense)
    if probe:
        probe.array("pooled", dy)
        probe.array("pooled_pre", dpre)
    # first = x[layout.first]
    dx = ops.gather.backward(dense.x, cache.gather).x
    return dx, {"dense.weight": dense.weight, "dense.bias": dense.bias}
