"""The input: word, position and segment embeddings, added, normalised, dropped out.

    sum = word[input_ids] + position[position_ids] + token_type[token_type_ids]        (T, E)
    y   = dropout(layer_norm(sum))

E is H, unless the embeddings are factorised; then a projection follows, y Wᵀ + b (T, H). A variant without token types
has no such term.

Source: Devlin et al. 2019, figure 2; `modeling.py`, `embedding_postprocessor`; Lan et al. 2020, section 3.1.
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import EMBEDDINGS_SITE, Dropout
from ..layout import Inputs
from ..opset import OpSet
from ..probes import Probe
from .positions import position_ids
from .settings import Settings

TABLES = ("word", "position", "token_type")


class EmbeddingsCache(NamedTuple):
    """The caches of the lookups, the norm, the dropout, and the projection, None without one."""

    lookups: dict[str, Any]
    norm: Any
    dropout: Any
    projection: Any


def forward(
    ops: OpSet, p: dict[str, Array], x: Inputs, settings: Settings, dropout: Dropout | None, probe: Probe | None = None
) -> tuple[Array, EmbeddingsCache]:
    """Ids (T) -> y (T, H)."""
    ids = {"word": x.input_ids, "position": position_ids(ops.xp, x, settings), "token_type": x.token_type_ids}
    looked_up, lookups = {}, {}
    for name in TABLES:
        if f"{name}_embeddings.weight" in p:
            looked_up[name], lookups[name] = ops.embedding.forward(p[f"{name}_embeddings.weight"], ids[name])
    # Google adds the segment first, then the position; Hugging Face likewise.
    total = looked_up["word"]
    for name in ("token_type", "position"):
        if name in looked_up:
            total, _ = ops.add.forward(total, looked_up[name])
    normed, norm = ops.layer_norm.forward(total, p["LayerNorm.weight"], p["LayerNorm.bias"], eps=settings.eps)
    keep = dropout.hidden(EMBEDDINGS_SITE, total.shape[-1]) if dropout else None
    y, dropped = ops.dropout.forward(normed, keep, scale=dropout.hidden_scale if dropout else 1.0)
    projection = None
    if "projection.weight" in p:
        y, projection = ops.dense.forward(y, p["projection.weight"], p["projection.bias"])
    if probe:
        for name, rows in looked_up.items():
            probe.rows(name, rows)
        probe.rows("sum", total)
        probe.rows("norm", normed)
        if projection is not None:
            probe.rows("projection", y)
    return y, EmbeddingsCache(lookups, norm, dropped, projection)


def backward(ops: OpSet, dy: Array, cache: EmbeddingsCache, probe: Probe | None = None) -> dict[str, Array]:
    """dy (T, H) -> gradients of the tables, the norm and the projection; the word table's is the input path's part
    only."""
    grads = {}
    if cache.projection is not None:
        if probe:
            probe.rows("projection", dy)
        dy, grads["projection.weight"], grads["projection.bias"] = ops.dense.backward(dy, cache.projection)
    dnormed = ops.dropout.backward(dy, cache.dropout).x
    norm = ops.layer_norm.backward(dnormed, cache.norm)
    # total = word + token_type + position: the gradient of a sum is that of each term
    grads |= {"LayerNorm.weight": norm.gamma, "LayerNorm.bias": norm.beta}
    for name in cache.lookups:
        grads[f"{name}_embeddings.weight"] = ops.embedding.backward(norm.x, cache.lookups[name]).table
    if probe:
        probe.rows("norm", dnormed)
        for name in ("sum", *cache.lookups):
            probe.rows(name, norm.x)
    return grads
