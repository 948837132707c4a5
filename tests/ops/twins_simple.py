"""Twins of the ops that move or transform single elements and rows."""

import math
from typing import Any

import numpy as np

from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import OPS, Op

from .edges import x_is
from .twin import (
    Twin,
    everywhere,
    first_row,
    last_column,
    last_row,
    output_of,
    overwritten,
    scaled_backward,
    scaled_forward,
    wrong_backward,
    wrong_forward,
)

EVERY_X = {"x": everywhere}
Dict = dict[str, Any]


def zeroed(xp: Any, x: Any, row: int) -> Any:
    """x without one of its rows."""
    keep = np.arange(x.shape[0]) != row % max(x.shape[0], 1)
    return xp.where(xp.from_numpy(keep.reshape(-1, *[1] * (len(x.shape) - 1))), x, xp.zeros_like(x))


DENSE = [
    scaled_forward("dense"),
    scaled_forward("dense", last_column),
    wrong_forward("dense", "without the bias", lambda op, xp, a: output_of(op, xp, a, bias=None)),
    scaled_backward("dense", "weight"),
    scaled_backward("dense", "x", last_column),
    wrong_backward(
        "dense", "weight without the last sequence",
        lambda op, xp, dy, c: {"weight": op.backward(xp, zeroed(xp, dy, -1), c).weight}, {"weight": everywhere},
    ),
    wrong_backward(
        "dense", "bias averaged",
        lambda op, xp, dy, c: {
            "bias": op.backward(xp, dy, c).bias / max(math.prod(dy.shape[:-1]), 1) if c.has_bias else None
        }, {"bias": everywhere},
    ),
]  # fmt: skip

EMBEDDING = [
    scaled_forward("embedding"),
    scaled_forward("embedding", last_column),
    wrong_forward(
        "embedding", "id 0 means padding",
        lambda op, xp, a: output_of(op, xp, a, table=zeroed(xp, a["table"], 0)),
    ),
    scaled_backward("embedding", "table"),
    wrong_backward(
        "embedding", "duplicates overwrite",
        lambda op, xp, dy, c: {"table": overwritten(xp, c.table.shape, c.ids, dy)}, {"table": everywhere},
    ),
    wrong_backward(
        "embedding", "id 0 gets no gradient",
        lambda op, xp, dy, c: {"table": zeroed(xp, op.backward(xp, dy, c).table, 0)}, {"table": first_row},
    ),
]  # fmt: skip

GATHER = [
    scaled_forward("gather"),
    scaled_forward("gather", last_row),
    wrong_forward(
        "gather", "counted from 1",
        lambda op, xp, a: output_of(op, xp, a, index=xp.maximum(a["index"] - 1, xp.zeros_like(a["index"]))),
    ),
    scaled_backward("gather", "x"),
    wrong_backward(
        "gather", "duplicates overwrite",
        lambda op, xp, dy, c: {"x": overwritten(xp, c.x.shape, c.index, dy)}, EVERY_X,
    ),
    wrong_backward(
        "gather", "the first token gets no gradient",
        lambda op, xp, dy, c: {"x": zeroed(xp, op.backward(xp, dy, c).x, 0)}, {"x": first_row},
    ),
]  # fmt: skip

PACK = [
    scaled_forward("pack"),
    scaled_forward("pack", last_row),
    wrong_forward("pack", "the first T places", lambda op, xp, a: a["x"][: a["places"].shape[0], ...] * 1),
    scaled_backward("pack", "x"),
    scaled_backward("pack", "x", last_column),
    wrong_backward("pack", "the padding gets a gradient",
                   lambda op, xp, dy, c: {"x": xp.take(dy, c.slots, axis=0)}, EVERY_X),
]  # fmt: skip

UNPACK = [
    scaled_forward("unpack"),
    scaled_forward("unpack", last_column),
    wrong_forward("unpack", "token 0 at the padding", lambda op, xp, a: xp.take(a["x"], a["slots"], axis=0)),
    scaled_backward("unpack", "x"),
    wrong_backward("unpack", "the last token gets none",
                   lambda op, xp, dy, c: {"x": zeroed(xp, op.backward(xp, dy, c).x, -1)}, {"x": last_row}),
    wrong_backward("unpack", "the first T places",
                   lambda op, xp, dy, c: {"x": dy[: c.places.shape[0], ...] * 1}, EVERY_X),
]  # fmt: skip

ADD = [
    scaled_forward("add"),
    scaled_forward("add", last_column),
    wrong_forward("add", "without b in the last row", lambda op, xp, a: a["a"] + zeroed(xp, a["b"], -1), last_row),
    scaled_backward("add", "a"),
    scaled_backward("add", "b", last_row),
    wrong_backward("add", "the sign of b", lambda op, xp, dy, c: {"b": -dy}, {"b": everywhere}),
]

DROPPED_NAN = OpCase({"x": np.array([math.nan, 2.0]), "keep": np.array([False, True])}, {"scale": 1.25})

DROPOUT = [
    scaled_forward("dropout"),
    scaled_forward("dropout", last_column),
    wrong_forward("dropout", "not scaled", lambda op, xp, a: output_of(op, xp, a, scale=1.0)),
    wrong_forward(
        "dropout", "multiplied by 0",
        lambda op, xp, a: a["x"] if a["keep"] is None else a["x"] * xp.astype(a["keep"], a["x"].dtype) * a["scale"],
        witness=[(DROPPED_NAN, [3.0, 4.0])],
    ),
    scaled_backward("dropout", "x"),
    wrong_backward("dropout", "not scaled",
                   lambda op, xp, dy, c: {"x": op.backward(xp, dy, c._replace(scale=1.0)).x}, EVERY_X),
    wrong_backward("dropout", "dropped elements, too",
                   lambda op, xp, dy, c: {"x": dy * c.scale if c.keep is not None else dy}, EVERY_X),
]  # fmt: skip


def _normal(xp: Any, x: Any) -> Any:
    return xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


GELU_ERF = [
    scaled_forward("gelu_erf"),
    scaled_forward("gelu_erf", last_column),
    wrong_forward(
        "gelu_erf", "the tanh form",
        lambda op, xp, a: 0.5 * a["x"] * (1 + xp.tanh(math.sqrt(2 / math.pi) * (a["x"] + 0.044715 * a["x"] ** 3))),
    ),
    wrong_forward("gelu_erf", "x itself above 2.5",
                  lambda op, xp, a: xp.where(a["x"] > 2.5, a["x"], output_of(op, xp, a))),
    scaled_backward("gelu_erf", "x"),
    scaled_backward("gelu_erf", "x", last_column),
    wrong_backward("gelu_erf", "without x φ(x)", lambda op, xp, dy, c: {"x": dy * c.cdf}, EVERY_X),
    wrong_backward("gelu_erf", "φ without its constant",
                   lambda op, xp, dy, c: {"x": dy * (c.cdf + c.x * xp.exp(-0.5 * c.x * c.x))}, EVERY_X),
]  # fmt: skip


def _gelu_tanh_slope(xp: Any, dy: Any, c: Any, inner: Any) -> Dict:
    slope = (1 - c.tanh * c.tanh) * math.sqrt(2 / math.pi) * inner
    return {"x": dy * (0.5 * (1 + c.tanh) + 0.5 * c.x * slope)}


GELU_TANH = [
    scaled_forward("gelu_tanh"),
    scaled_forward("gelu_tanh", last_column),
    wrong_forward("gelu_tanh", "the erf form", lambda op, xp, a: 0.5 * a["x"] * (1 + xp.erf(a["x"] / math.sqrt(2)))),
    wrong_forward(
        "gelu_tanh", "0.0447 for 0.044715",
        lambda op, xp, a: 0.5 * a["x"] * (1 + xp.tanh(math.sqrt(2 / math.pi) * (a["x"] + 0.0447 * a["x"] ** 3))),
    ),
    scaled_backward("gelu_tanh", "x"),
    wrong_backward("gelu_tanh", "without the slope", lambda op, xp, dy, c: {"x": dy * 0.5 * (1 + c.tanh)}, EVERY_X),
    wrong_backward("gelu_tanh", "a x² for 3 a x²",
                   lambda op, xp, dy, c: _gelu_tanh_slope(xp, dy, c, 1 + 0.044715 * c.x * c.x), EVERY_X),
]  # fmt: skip

TANH = [
    scaled_forward("tanh"),
    scaled_forward("tanh", last_column),
    wrong_forward(
        "tanh", "±1 beyond 3", lambda op, xp, a: xp.where(xp.abs(a["x"]) > 3, a["x"] / xp.abs(a["x"]), xp.tanh(a["x"]))
    ),
    scaled_backward("tanh", "x"),
    wrong_backward("tanh", "1 - |y|", lambda op, xp, dy, c: {"x": dy * (1 - xp.abs(c.y))}, EVERY_X),
    wrong_backward("tanh", "without 1 - y²", lambda op, xp, dy, c: {"x": dy * 1}, EVERY_X),
]


def _relu_with_a_slope_at_zero(xp: Any, x: Any) -> Any:
    y, cache = OPS["relu"].forward(xp, x)
    return y, cache._replace(positive=x >= 0)


RELU = [
    scaled_forward("relu"),
    scaled_forward("relu", last_column),
    wrong_forward("relu", "leaky", lambda op, xp, a: xp.where(a["x"] > 0, a["x"], 0.001 * a["x"])),
    wrong_forward("relu", "NaN gives 0", lambda op, xp, a: xp.where(a["x"] > 0, a["x"], xp.zeros_like(a["x"])),
                  witness=[(x_is(math.nan, 1), [1.0, 2.0])]),
    scaled_backward("relu", "x"),
    scaled_backward("relu", "x", last_column),
    Twin("relu", "1 at 0", Op("relu", _relu_with_a_slope_at_zero, OPS["relu"].backward), EVERY_X,
         witness=[(x_is(0.0, 1.0), [1.0, 2.0])]),
    wrong_backward("relu", "everywhere", lambda op, xp, dy, c: {"x": dy * 1}, EVERY_X),
]  # fmt: skip

SIMPLE: list[Twin] = [
    *DENSE, *EMBEDDING, *GATHER, *PACK, *UNPACK, *ADD, *DROPOUT, *GELU_ERF, *GELU_TANH, *TANH, *RELU,
]  # fmt: skip
