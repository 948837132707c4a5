"""Twins of the compositions: attention, and the ops that a fused kernel may replace."""

import math
from typing import Any

import numpy as np

from bertref.golden.generate.op_inputs import FLOAT32_MIN
from bertref.ops import OPS
from bertref.ops.attention import merge_heads, split_heads

from .twin import (
    Twin,
    everywhere,
    last_column,
    last_row,
    output_of,
    scaled_backward,
    scaled_forward,
    wrong_backward,
    wrong_forward,
)
from .twins_rows import _logits_forward
from .twins_simple import EVERY_X, zeroed

Dict = dict[str, Any]


def _without_dropout(op: Any, xp: Any, a: Dict) -> Any:
    return output_of(op, xp, a, keep=None, dropout_scale=1.0)


def _over_queries(xp: Any, a: Dict) -> Any:
    """The softmax over the wrong axis."""
    q, k, v = (split_heads(xp, a[name], a["heads"]) for name in ("query", "key", "value"))
    scores = xp.matmul(q, xp.matrix_transpose(k)) * a["scale"]
    probs = xp.matrix_transpose(OPS["softmax"].forward(xp, xp.matrix_transpose(scores))[0])
    return merge_heads(xp, xp.matmul(probs, v))


def _interleaved(op: Any, xp: Any, a: Dict) -> Any:
    """Heads taken from every A-th column instead of from blocks of columns."""

    def mixed(x: Any) -> Any:
        B, S, H = x.shape
        apart = xp.reshape(x, (B, S, H // a["heads"], a["heads"]))
        return xp.reshape(xp.permute_dims(apart, (0, 1, 3, 2)), (B, S, H))

    return output_of(op, xp, a, **{name: mixed(a[name]) for name in ("query", "key", "value")})


def _nan_without_keys(op: Any, xp: Any, a: Dict) -> Any:
    y = output_of(op, xp, a)
    empty = xp.sum(xp.astype(a["mask"], y.dtype), axis=1) == 0
    rows = xp.reshape(empty, (-1, 1, 1))
    return xp.where(rows, xp.full_like(y, math.nan), y) if a["mask_value"] == -math.inf else y


def _weaker_mask(op: Any, xp: Any, a: Dict) -> Any:
    return output_of(op, xp, a, mask_value=-10.0)


def _key_without_scale(op: Any, xp: Any, dy: Any, c: Any) -> Dict:
    return {"key": op.backward(xp, dy, c).key / c.scale}


def _value_from_undropped(op: Any, xp: Any, dy: Any, c: Any) -> Dict:
    dcontext = split_heads(xp, dy, c.query.shape[1])
    return {"value": merge_heads(xp, xp.matmul(xp.matrix_transpose(c.softmax.y), dcontext))}


def _undropped_probs(op: Any, xp: Any, dy: Any, c: Any) -> Dict:
    """The dropout left out on the way back to the scores."""
    plain = op.backward(xp, dy, c._replace(dropout=c.dropout._replace(keep=None)))
    return {"query": plain.query, "key": plain.key}


def _without_inner_sum(op: Any, xp: Any, dy: Any, c: Any) -> Dict:
    dcontext = split_heads(xp, dy, c.query.shape[1])
    ddropped = xp.matmul(dcontext, xp.matrix_transpose(c.value))
    dprobs = OPS["dropout"].backward(xp, ddropped, c.dropout).x
    dproduct = c.softmax.y * dprobs * c.scale
    return {"query": merge_heads(xp, xp.matmul(dproduct, c.key))}


ATTENTION = [
    scaled_forward("attention"),
    scaled_forward("attention", last_column),
    wrong_forward("attention", "mask ignored",
                  lambda op, xp, a: output_of(op, xp, a, mask=xp.ones_like(a["mask"]))),
    wrong_forward("attention", "mask inverted",
                  lambda op, xp, a: output_of(op, xp, a, mask=~a["mask"], mask_value=FLOAT32_MIN)),
    wrong_forward("attention", "mask too weak", _weaker_mask),
    wrong_forward("attention", "scale missing", lambda op, xp, a: output_of(op, xp, a, scale=1.0)),
    wrong_forward("attention", "scale of the whole width",
                  lambda op, xp, a: output_of(op, xp, a, scale=a["scale"] / math.sqrt(a["heads"]))),
    wrong_forward("attention", "softmax over the queries", lambda op, xp, a: _over_queries(xp, a)),
    wrong_forward("attention", "dropout left out", _without_dropout),
    wrong_forward("attention", "heads interleaved", _interleaved),
    wrong_forward("attention", "NaN without keys", _nan_without_keys),
    scaled_backward("attention", "query"),
    scaled_backward("attention", "value", last_column),
    wrong_backward("attention", "key without the scale", _key_without_scale, {"key": everywhere}),
    wrong_backward("attention", "value from probabilities before dropout", _value_from_undropped,
                   {"value": everywhere}),
    wrong_backward("attention", "no dropout on the way to the scores", _undropped_probs,
                   {"query": everywhere, "key": everywhere}),
    wrong_backward("attention", "softmax without its inner sum", _without_inner_sum, {"query": everywhere}),
    wrong_backward("attention", "query and key exchanged",
                   lambda op, xp, dy, c: {"query": op.backward(xp, dy, c).key}, {"query": everywhere}),
]  # fmt: skip


def _bias_after(op: Any, xp: Any, a: Dict) -> Any:
    return output_of(op, xp, a, bias=xp.zeros_like(a["bias"])) + a["bias"]


def _the_other_gelu(op: Any, xp: Any, a: Dict) -> Any:
    other = {"gelu_erf": "gelu_tanh", "gelu_tanh": "gelu_erf"}
    return output_of(op, xp, a, activation=other.get(a["activation"], a["activation"]))


BIAS_ACTIVATION = [
    scaled_forward("bias_activation"),
    scaled_forward("bias_activation", last_column),
    wrong_forward("bias_activation", "bias after the activation", _bias_after),
    wrong_forward("bias_activation", "the other GELU", _the_other_gelu),
    scaled_backward("bias_activation", "x"),
    scaled_backward("bias_activation", "bias", last_column),
    wrong_backward("bias_activation", "bias without the last sequence",
                   lambda op, xp, dy, c: {"bias": xp.sum(zeroed(xp, op.backward(xp, dy, c).x, -1), axis=(0, 1))},
                   {"bias": everywhere}),
    wrong_backward("bias_activation", "activation's derivative missing", lambda op, xp, dy, c: {"x": dy * 1}, EVERY_X),
]  # fmt: skip


def _residual_after(op: Any, xp: Any, a: Dict) -> Any:
    """The norm before the addition: a pre-LN encoder."""
    return output_of(op, xp, a, residual=xp.zeros_like(a["residual"])) + a["residual"]


def _dropped_residual(op: Any, xp: Any, a: Dict) -> Any:
    if a["keep"] is None:
        return output_of(op, xp, a)
    zeros = xp.zeros_like(a["residual"])
    return output_of(op, xp, a, residual=xp.where(a["keep"], a["residual"] * a["scale"], zeros))


def _norm_backward(xp: Any, dy: Any, c: Any) -> Any:
    return OPS["layer_norm"].backward(xp, dy, c.layer_norm).x


DROPOUT_ADD_NORM = [
    scaled_forward("dropout_add_norm"),
    scaled_forward("dropout_add_norm", last_column),
    wrong_forward("dropout_add_norm", "without the residual",
                  lambda op, xp, a: output_of(op, xp, a, residual=xp.zeros_like(a["residual"]))),
    wrong_forward("dropout_add_norm", "residual after the norm", _residual_after),
    wrong_forward("dropout_add_norm", "residual dropped, too", _dropped_residual),
    scaled_backward("dropout_add_norm", "residual"),
    scaled_backward("dropout_add_norm", "beta", last_column),
    wrong_backward("dropout_add_norm", "x not dropped",
                   lambda op, xp, dy, c: {"x": _norm_backward(xp, dy, c)}, EVERY_X),
    wrong_backward("dropout_add_norm", "residual dropped",
                   lambda op, xp, dy, c: {"residual": op.backward(xp, dy, c).x}, {"residual": everywhere}),
    wrong_backward("dropout_add_norm", "residual past the norm",
                   lambda op, xp, dy, c: {"residual": op.backward(xp, dy, c).residual + dy}, {"residual": everywhere}),
]  # fmt: skip


def _only_labels(op: Any, xp: Any, dy: Any, c: Any) -> Dict:
    """The decoder's part of the tied gradient in the rows of labels only."""
    table = op.backward(xp, dy, c).table
    labels = np.isin(np.arange(table.shape[0]), xp.to_numpy(c.cross_entropy.labels))
    return {"table": xp.where(xp.from_numpy(labels[:, None]), table, xp.zeros_like(table))}


DECODER_CROSS_ENTROPY = [
    *_logits_forward("decoder_cross_entropy", "bias"),
    wrong_forward("decoder_cross_entropy", "without the bias",
                  lambda op, xp, a: output_of(op, xp, a, bias=xp.zeros_like(a["bias"]))),
    wrong_forward("decoder_cross_entropy", "bias twice", lambda op, xp, a: output_of(op, xp, a, bias=2 * a["bias"])),
    scaled_backward("decoder_cross_entropy", "table"),
    scaled_backward("decoder_cross_entropy", "x", last_row),
    wrong_backward("decoder_cross_entropy", "only the labels' rows of the table", _only_labels, {"table": everywhere}),
    wrong_backward("decoder_cross_entropy", "no bias",
                   lambda op, xp, dy, c: {"bias": xp.zeros_like(op.backward(xp, dy, c).bias)}, {"bias": everywhere}),
]  # fmt: skip

COMPOSITIONS: list[Twin] = [*ATTENTION, *BIAS_ACTIVATION, *DROPOUT_ADD_NORM, *DECODER_CROSS_ENTROPY]
