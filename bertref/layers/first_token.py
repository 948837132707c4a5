"""A layer of the encoder at the first token of every sequence, of which alone the pooler reads the last layer's output.

    k, v = x Wkᵀ + bk, x Wvᵀ + bv                    (T, H): every token is a key
    q    = x[first] Wqᵀ + bq                         (B, H): one query a sequence
    y    = the rest of the layer at these B rows     (B, H)

So the last layer takes 4 T H² operations in place of 8 T H² + 4 T H I, and no (S, S) scores: forward alone, for answers
from the pooled output. Training has dropout in every row and stays with `encoder_layer`.
"""

from ..arrays import Array
from ..layout import Layout
from ..opset import OpSet
from ..params import scope
from . import feed_forward
from .self_attention import to_rectangle
from .settings import Settings


def forward(ops: OpSet, p: dict[str, Array], x: Array, layout: Layout, settings: Settings) -> Array:
    """x (T, H) -> (B, H): the rows of `encoder_layer.forward` at `layout.first`, nothing dropped."""
    own = scope(p, "attention")
    first, _ = ops.gather.forward(x, layout.first)
    query, _ = ops.dense.forward(first, own["self.query.weight"], own["self.query.bias"])
    key, value = (
        to_rectangle(ops, ops.dense.forward(x, own[f"self.{name}.weight"], own[f"self.{name}.bias"])[0], layout)
        for name in ("key", "value")
    )
    width = query.shape[-1]
    context, _ = ops.attention.forward(
        ops.xp.reshape(query, (layout.batch, 1, width)), key, value, layout.mask, None,
        heads=settings.config.num_attention_heads, scale=settings.scale, mask_value=settings.numerics.mask_value,
        scale_query=settings.numerics.scale_scores == "query",
    )  # fmt: skip
    context = ops.xp.reshape(context, (layout.batch, width))
    output, _ = ops.dense.forward(context, own["output.dense.weight"], own["output.dense.bias"])
    middle, _ = ops.dropout_add_norm.forward(
        output, first, None, own["output.LayerNorm.weight"], own["output.LayerNorm.bias"], scale=1.0, eps=settings.eps
    )
    return feed_forward.forward(ops, p, middle, settings, None, 0)[0]
