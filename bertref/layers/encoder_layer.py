"""One layer of the encoder: self-attention, then the feed-forward network, each with its residual and norm.

With `recompute="layers"` only the layer's input is kept, and backward runs forward again: memory for one layer
instead of all, for a third more work.

Source: Devlin et al. 2019, section 3; Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import Dropout, layer_site
from ..layout import Layout
from ..opset import OpSet
from ..params import prefixed, scope
from ..probes import Probe
from . import feed_forward, self_attention
from .settings import Recompute, Settings, materialised


class EncoderLayerCache(NamedTuple):
    """The caches of the two halves."""

    attention: self_attention.SelfAttentionCache
    feed_forward: feed_forward.FeedForwardCache


def forward(
    ops: OpSet,
    p: dict[str, Array],
    x: Array,
    layout: Layout,
    settings: Settings,
    dropout: Dropout | None,
    number: int,
    probe: Probe | None = None,
) -> tuple[Array, Any]:
    """x (T, H) -> y (T, H), for layer `number` (from 0)."""
    site = layer_site(number)

    def run(ops: OpSet, probe: Probe | None) -> tuple[Array, EncoderLayerCache]:
        middle, first = self_attention.forward(ops, scope(p, "attention"), x, layout, settings, dropout, site, probe)
        y, second = feed_forward.forward(ops, p, middle, settings, dropout, site, probe)
        return y, EncoderLayerCache(first, second)

    if settings.recompute == "layers":
        y, _ = run(ops.forward_only(), probe)
        return y, Recompute(lambda: run(ops, probe))
    return run(ops, probe)


def backward(ops: OpSet, dy: Array, cache: Any, probe: Probe | None = None) -> tuple[Array, dict[str, Array]]:
    """dy (T, H) -> dx (T, H) and the gradients of the layer's parameters.

    Each half's cache is handed over, so that it can be let go of piece by piece."""
    halves = list(materialised(cache))
    del cache
    dmiddle, grads = feed_forward.backward(ops, dy, halves.pop(), probe)
    dx, attention_grads = self_attention.backward(ops, dmiddle, halves.pop(), probe)
    return dx, {**prefixed("attention", attention_grads), **grads}
