"""Self-attention with its output projection, residual and norm: the first half of an encoder layer.

    q, k, v = x Wqᵀ + bq, x Wkᵀ + bk, x Wvᵀ + bv          (T, H)
    context = attention(q, k, v)                           each sequence by itself
    y       = layer_norm(dropout(context Woᵀ + bo) + x)

Attention is the only part that mixes tokens, so it is the only one that has to know where sequences start: packed
rows are unpacked before it and packed again after it.

Source: Devlin et al. 2019, section 3; `modeling.py`, `attention_layer` and `transformer_model`.
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import Dropout
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe
from . import projections
from .settings import Recompute, Settings, materialised

INSIDE = {"scores": "scores", "probs": "probs"}


class SelfAttentionCache(NamedTuple):
    """The caches of the ops in order; `attention` may be `Recompute`; the layout maps rows to the rectangle."""

    layout: Layout
    projections: list[projections.ProjectionRun]
    attention: Any
    output: Any
    norm: Any


def forward(
    ops: OpSet,
    p: dict[str, Array],
    x: Array,
    layout: Layout,
    settings: Settings,
    dropout: Dropout | None,
    site: int,
    probe: Probe | None = None,
) -> tuple[Array, SelfAttentionCache]:
    """x (T, H) -> y (T, H). `site` is the layer's first dropout site."""
    projected = projections.forward(ops, p, x)
    q, k, v = (
        part for y, run in projected for part in projections.parts(to_rectangle(ops, y, layout), run.names).values()
    )

    def attend(ops: OpSet, probe: Probe | None) -> tuple[Array, Any]:
        hints = {
            "padding": not layout.packed, "recomputed": settings.recompute != "none",
            "side_by_side": len(projected) == 1,
        }  # fmt: skip
        return ops.attention.hinted(**hints).forward(
            q, k, v, layout.mask, dropout.probs(site, settings.config.num_attention_heads) if dropout else None,
            heads=settings.config.num_attention_heads, scale=settings.scale, mask_value=settings.numerics.mask_value,
            dropout_scale=dropout.probs_scale if dropout else 1.0,
            scale_query=settings.numerics.scale_scores == "query",
            probe=probe.inner(INSIDE, rows=False) if probe else None,
        )  # fmt: skip

    recompute = settings.recompute == "attention"
    context, attention = attend(ops.forward_only() if recompute else ops, probe)
    if recompute:
        attention = Recompute(lambda: attend(ops, probe))
    context = to_rows(ops, context, layout)
    dropping = settings.at_branch(dropout, "attention")
    output, dense = ops.dense.forward(context, p["output.dense.weight"], p["output.dense.bias"])
    y, norm = ops.dropout_add_norm.hinted(given=probe is None).forward(
        output, x, dropping.hidden(site + 1, x.shape[-1]) if dropping else None,
        p["output.LayerNorm.weight"], p["output.LayerNorm.bias"],
        scale=dropping.hidden_scale if dropping else 1.0, eps=settings.eps,
        probe=probe.inner({"sum": "attention_sum"}, rows=True) if probe else None,
    )  # fmt: skip
    if probe:
        for rows, run in projected:
            for name, part in projections.parts(rows, run.names).items():
                probe.rows(name, part)
        probe.rows("context", context)
        probe.rows("attention_output", output)
        probe.rows("attention_norm", y)
    return y, SelfAttentionCache(layout, [run for _, run in projected], attention, dense, norm)


def backward(
    ops: OpSet, dy: Array, cache: SelfAttentionCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dy (T, H) -> dx (T, H) and the gradients of the eight dense arrays and the norm."""
    inner_sum = probe.inner({"sum": "attention_sum"}, rows=True) if probe else None
    inner_attention = probe.inner(INSIDE, rows=False) if probe else None
    # y = layer_norm(dropout(output) + x)
    norm = ops.dropout_add_norm.backward(dy, cache.norm, probe=inner_sum)
    # output = context Woᵀ + bo
    output = ops.dense.backward(norm.x, cache.output)
    # context = attention(q, k, v)
    dcontext = to_rectangle(ops, output.x, cache.layout)
    attention = ops.attention.backward(dcontext, materialised(cache.attention), probe=inner_attention)
    grads = {
        "output.dense.weight": output.weight,
        "output.dense.bias": output.bias,
        "output.LayerNorm.weight": norm.gamma,
        "output.LayerNorm.bias": norm.beta,
    }
    dx = norm.residual
    # q, k, v = projections of x; x is used by each of them and by the residual, so the gradients add up
    for run in cache.projections:
        dprojected = to_rows(ops, projections.side_by_side(ops.xp, attention, run.names), cache.layout)
        if probe:
            for name, part in projections.parts(dprojected, run.names).items():
                probe.rows(name, part)
        dx_projected, its_grads = projections.backward(ops, dprojected, run)
        grads |= its_grads
        dx, _ = ops.add.forward(dx, dx_projected)
    if probe:
        probe.rows("attention_norm", dy)
        probe.rows("attention_output", norm.x)
        probe.rows("context", output.x)
    return dx, grads


def to_rectangle(ops: OpSet, rows: Array, layout: Layout) -> Array:
    """Token rows (T, H) -> (B, S, H), with 0 where the packed layout has no token."""
    if layout.packed:
        rows, _ = ops.unpack.forward(rows, layout.slots, layout.valid, layout.places)
    return ops.xp.reshape(rows, (layout.batch, layout.length, rows.shape[-1]))


def to_rows(ops: OpSet, rectangle: Array, layout: Layout) -> Array:
    """(B, S, H) -> token rows (T, H): the transpose of `to_rectangle`, so each is the gradient of the other."""
    rows = ops.xp.reshape(rectangle, (layout.batch * layout.length, rectangle.shape[-1]))
    return ops.pack.forward(rows, layout.slots, layout.valid, layout.places)[0] if layout.packed else rows
