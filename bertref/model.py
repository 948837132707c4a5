"""The encoder: embeddings, a stack of identical layers, and the pooler, forward and backward.

Source: Devlin et al. 2019, section 3; `modeling.py`, `BertModel`.
"""

from typing import Any, NamedTuple

from .arrays import Array
from .dropout import Dropout
from .layers import Settings, embeddings, encoder_layer, first_token, pooler
from .layout import Inputs
from .opset import OpSet
from .params import prefixed, scope
from .probes import Probe

POOLER = "bert.pooler"


class Encoded(NamedTuple):
    """`sequence` (T, H), the last layer's output, and `pooled` (B, H), None for a model without a pooler."""

    sequence: Array
    pooled: Array | None


class ModelCache(NamedTuple):
    """The caches of the embeddings, of every layer, and of the pooler; `stored` says whose parameters a layer used, and
    of what is `frozen` as in `Settings` there is no cache."""

    embeddings: Any
    layers: list[Any]
    stored: list[int]
    pooler: Any
    frozen: int = 0


def forward(
    ops: OpSet,
    params: dict[str, Array],
    x: Inputs,
    settings: Settings,
    *,
    dropout: Dropout | None = None,
    pooler_dropout: Dropout | None = None,
    probe: Probe | None = None,
) -> tuple[Encoded, ModelCache]:
    """Ids -> `Encoded`. Without `dropout` nothing is dropped; `pooler_dropout` works in front of the pooler, for heads
    that want it. `params` are named as in `bertref.params`."""
    hidden, embedded = embeddings.forward(
        ops, scope(params, "bert.embeddings"), x, settings, dropout, probe and probe.scope("embeddings.")
    )
    layers, stored = [], _stored(settings)
    for i, number in enumerate(stored):
        p = scope(params, f"bert.encoder.layer.{number}")
        hidden, cache = encoder_layer.forward(
            ops, p, hidden, x.layout, settings, dropout, i, probe and probe.scope(f"layer.{i}.")
        )
        layers.append(cache if settings.frozen <= i + 1 else None)
    pooled, pooling = None, None
    if POOLER + ".dense.weight" in params:
        pooled, pooling = pooler.forward(
            ops, scope(params, POOLER), hidden, x.layout, settings, pooler_dropout, probe
        )
    frozen = settings.frozen
    return Encoded(hidden, pooled), ModelCache(None if frozen else embedded, layers, stored, pooling, frozen)


def pooled(ops: OpSet, params: dict[str, Array], x: Inputs, settings: Settings) -> Array:
    """Ids -> the pooled output (B, H) alone, nothing dropped: that of `forward`, without the last layer's work at the
    tokens that the pooler does not read. The model has a pooler."""
    hidden, _ = embeddings.forward(ops, scope(params, "bert.embeddings"), x, settings, None, None)
    layers = [scope(params, f"bert.encoder.layer.{number}") for number in _stored(settings)]
    for i, p in enumerate(layers[:-1]):
        hidden, _ = encoder_layer.forward(ops, p, hidden, x.layout, settings, None, i)
    if layers:
        first = first_token.forward(ops, layers[-1], hidden, x.layout, settings)
    else:
        first, _ = ops.gather.forward(hidden, x.layout.first)
    return pooler.of_first(ops, scope(params, POOLER), first, settings)


def _stored(settings: Settings) -> list[int]:
    """Of every layer the number under which its parameters stand: its own, unless layers share them."""
    config = settings.config
    return [config.stored_layer(i) for i in range(config.num_hidden_layers)]


def backward(
    ops: OpSet,
    d_sequence: Array | None,
    d_pooled: Array | None,
    cache: ModelCache,
    probe: Probe | None = None,
) -> dict[str, Array]:
    """Gradients of the sequence (T, H) and of the pooled output (B, H), either may be None -> the gradients of all
    parameters that are not frozen.

    The pooler's own gradients are there only if `d_pooled` is. `probe` should be scoped to `grad:`. The cache is used
    up: a layer's part is let go as soon as it has served, because gradients need the memory.
    """
    grads: dict[str, Array] = {}
    dx, d_sequence = d_sequence, None
    if d_pooled is not None:
        from_pooler, pooler_grads = pooler.backward(ops, d_pooled, cache.pooler, probe)
        grads |= prefixed(POOLER, pooler_grads)
        # the sequence is used twice: by the heads over tokens and by the pooler
        dx = from_pooler if dx is None else ops.add.forward(dx, from_pooler)[0]
    if dx is None:
        raise ValueError("backward needs the gradient of the sequence, of the pooled output, or of both")
    lowest = max(cache.frozen - 1, 0)
    for i in reversed(range(lowest, len(cache.layers))):
        dx, layer_grads = encoder_layer.backward(ops, dx, _taken(cache.layers, i), probe and probe.scope(f"layer.{i}."))
        found = prefixed(f"bert.encoder.layer.{cache.stored[i]}", layer_grads)
        for name, grad in found.items():
            # a parameter of several layers is used several times, so the gradients add up
            grads[name] = ops.add.forward(grads[name], grad)[0] if name in grads else grad
        if ops.take and cache.stored[i] not in cache.stored[lowest:i]:
            grads |= ops.take({name: grads.pop(name) for name in found})
    if cache.frozen:
        return grads
    table_grads = embeddings.backward(ops, dx, cache.embeddings, probe and probe.scope("embeddings."))
    return grads | prefixed("bert.embeddings", table_grads)


def _taken(layers: list[Any], number: int) -> Any:
    """A layer's cache, to which nobody else refers from now on."""
    cache, layers[number] = layers[number], None
    if cache is None:
        raise ValueError("the cache has served a backward already; run forward again")
    return cache
