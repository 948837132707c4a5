"""The input: word, position and segment embeddings, added, normalised, dropped out.

    sum = word[input_ids] + position[position_ids] + token_type[token_type_ids]        (T, H)
    y   = dropout(layer_norm(sum))

Source: Devlin et al. 2019, figure 2; `modeling.py`, `embedding_postprocessor`.
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import EMBEDDINGS_SITE, Dropout
from ..layout import Inputs
from ..opset import OpSet
from ..probes import Probe
from .settings import Settings

TABLES = ("word", "position", "token_type")


class EmbeddingsCache(NamedTuple):
    """The caches of the three lookups, the norm and the dropout."""

    lookups: dict[str, Any]
    norm: Any
    dropout: Any


def forward(
    ops: OpSet, p: dict[str, Array], x: Inputs, settings: Settings, dropout: Dropout | None, probe: Probe | None = None
) -> tuple[Array, EmbeddingsCache]:
    """Ids (T) -> y (T, H)."""
    ids = {"word": x.input_ids, "position": x.position_ids, "token_type": x.token_type_ids}
    looked_up, lookups = {}, {}
    for name in TABLES:
        looked_up[name], lookups[name] = ops.embedding.forward(p[f"{name}_embeddings.weight"], ids[name])
    # Google adds the segment first, then the position; Hugging Face likewise.
    partial, _ = ops.add.forward(looked_up["word"], looked_up["token_type"])
    total, _ = ops.add.forward(partial, looked_up["position"])
    normed, norm = ops.layer_norm.forward(total, p["LayerNorm.weight"], p["LayerNorm.bias"], eps=settings.eps)
    keep = dropout.hidden(EMBEDDINGS_SITE, total.shape[-1]) if dropout else None
    y, dropped = ops.dropout.forward(normed, keep, scale=dropout.hidden_scale if dropout else 1.0)
    if probe:
        for name in TABLES:
            probe.rows(name, looked_up[name])
        probe.rows("sum", total)
        probe.rows("norm", normed)
    return y, EmbeddingsCache(lookups, norm, dropped)


def backward(ops: OpSet, dy: Array, cache: EmbeddingsCache, probe: Probe | None = None) -> dict[str, Array]:
    """dy (T, H) -> gradients of the tables and the norm; the word table's is the input path's part only."""
    dnormed = ops.dropout.backward(dy, cache.dropout).x
    norm = ops.layer_norm.backward(dnormed, cache.norm)
    # total = word + token_type + position: the gradient of a sum is that of each term
    grads = {"LayerNorm.weight": norm.gamma, "LayerNorm.bias": norm.beta}
    for name in TABLES:
        grads[f"{name}_embeddings.weight"] = ops.embedding.backward(norm.x, cache.lookups[name]).table
    if probe:
        probe.rows("norm", dnormed)
        for name in ("sum", *TABLES):
            probe.rows(name, norm.x)
    return grads
