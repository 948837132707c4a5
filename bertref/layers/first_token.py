"""A layer of the encoder at the first token of every sequence, of which alone the pooler reads the last layer's output.

One query a sequence needs neither keys nor values of the tokens: products may be taken in another order.

    q        = x[first] Wqᵀ + bq                      (B, H), split: A heads of D
    scores   = q (x Wkᵀ + bk)ᵀ = (q Wk) xᵀ + q bk     (B, A, S); q bk is the same for every token of the sequence,
                                                      so the softmax ignores it
    context  = probs (x Wvᵀ + bv) = (probs x) Wvᵀ + bv        (B, A, D), merged: (B, H)
    y        = the rest of the layer at these B rows          (B, H)

The middle of it, softmax((q Wk) xᵀ) x, is attention again: of A queries a sequence, over its tokens, with one head.

So the last layer takes 4 T A H operations and some for each sequence, in place of 8 T H² + 4 T H I for all tokens:
forward alone, for answers from the pooled output. Training has dropout in every row and stays with `encoder_layer`.
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
    context = _attend(ops, own, query, to_rectangle(ops, x, layout), layout, settings)
    output, _ = ops.dense.forward(context, own["output.dense.weight"], own["output.dense.bias"])
    middle, _ = ops.dropout_add_norm.forward(
        output, first, None, own["output.LayerNorm.weight"], own["output.LayerNorm.bias"], scale=1.0, eps=settings.eps
    )
    return feed_forward.forward(ops, p, middle, settings, None, 0)[0]


def _attend(ops: OpSet, p: dict[str, Array], query: Array, x: Array, layout: Layout, settings: Settings) -> Array:
    """query (B, H) over the tokens x (B, S, H), at least one in each sequence -> context (B, H)."""
    xp, heads = ops.xp, settings.config.num_attention_heads
    B, H = query.shape
    key, value = (xp.reshape(p[f"self.{name}.weight"], (heads, H // heads, H)) for name in ("key", "value"))
    by_head = xp.matmul(xp.permute_dims(xp.reshape(query, (B, heads, H // heads)), (1, 0, 2)), key)
    mixed, _ = ops.attention.forward(
        xp.permute_dims(by_head, (1, 0, 2)), x, x, layout.mask, None, heads=1, scale=settings.scale,
        mask_value=settings.numerics.mask_value, scale_query=settings.numerics.scale_scores == "query",
    )  # fmt: skip
    context = xp.matmul(xp.permute_dims(mixed, (1, 0, 2)), xp.matrix_transpose(value))
    return xp.reshape(xp.permute_dims(context, (1, 0, 2)), (B, H)) + p["self.value.bias"]
