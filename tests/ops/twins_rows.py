"""Twins of the ops that normalise rows, and of the losses."""

from typing import Any

import numpy as np

from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import OPS

from .edges import x_is
from .twin import (
    Twin,
    everywhere,
    last_column,
    last_row,
    output_of,
    scaled,
    scaled_backward,
    scaled_forward,
    wrong_backward,
    wrong_forward,
)
from .twins_simple import EVERY_X, zeroed

Dict = dict[str, Any]
BIG_ROW = x_is([1000.0, 0.0])


def mean(xp: Any, x: Any) -> Any:
    return xp.mean(x, axis=-1, keepdims=True)


def total(xp: Any, x: Any) -> Any:
    return xp.sum(x, axis=-1, keepdims=True)


def _norm(xp: Any, a: Dict, reciprocal: Any) -> Any:
    centred = a["x"] - mean(xp, a["x"])
    return centred * reciprocal(mean(xp, centred * centred)) * a["gamma"] + a["beta"]


def _norm_gradient(xp: Any, dy: Any, c: Any, ones: float, normalised: float) -> Dict:
    g = dy * c.gamma
    along = normalised * c.normalised * mean(xp, g * c.normalised)
    return {"x": c.reciprocal * (g - ones * mean(xp, g) - along)}


def _unbiased(xp: Any, a: Dict) -> Any:
    H = a["x"].shape[-1]
    return _norm(xp, a, lambda v: 1 / xp.sqrt(v * H / max(H - 1, 1) + a["eps"]))


LAYER_NORM = [
    scaled_forward("layer_norm"),
    scaled_forward("layer_norm", last_column),
    wrong_forward("layer_norm", "unbiased variance", lambda op, xp, a: _unbiased(xp, a)),
    wrong_forward("layer_norm", "epsilon outside of the root",
                  lambda op, xp, a: _norm(xp, a, lambda v: 1 / (xp.sqrt(v) + a["eps"]))),
    wrong_forward("layer_norm", "epsilon 1e-5", lambda op, xp, a: output_of(op, xp, a, eps=1e-5)),
    wrong_forward("layer_norm", "without gamma",
                  lambda op, xp, a: output_of(op, xp, a, gamma=xp.ones_like(a["gamma"]))),
    wrong_forward("layer_norm", "x itself in rows of length 1",
                  lambda op, xp, a: a["x"] * 1 if a["x"].shape[-1] == 1 else output_of(op, xp, a)),
    scaled_backward("layer_norm", "x"),
    scaled_backward("layer_norm", "gamma", last_column),
    wrong_backward("layer_norm", "without mean(g n)",
                   lambda op, xp, dy, c: _norm_gradient(xp, dy, c, 1, 0), EVERY_X),
    wrong_backward("layer_norm", "without mean(g)",
                   lambda op, xp, dy, c: _norm_gradient(xp, dy, c, 0, 1), EVERY_X),
    wrong_backward("layer_norm", "nothing", lambda op, xp, dy, c: {"x": xp.zeros_like(dy)}, EVERY_X),
    wrong_backward("layer_norm", "gamma as beta",
                   lambda op, xp, dy, c: {"gamma": op.backward(xp, dy, c).beta}, {"gamma": everywhere}),
]  # fmt: skip


def _without_shift(xp: Any, a: Dict) -> Any:
    exponentials = xp.exp(a["x"])
    sums = total(xp, exponentials)
    return exponentials / xp.where(sums == 0, xp.ones_like(sums), sums)


def _nan_for_an_empty_row(xp: Any, a: Dict) -> Any:
    exponentials = xp.exp(a["x"] - xp.max(a["x"], axis=-1, keepdims=True))
    return exponentials / total(xp, exponentials)


SOFTMAX = [
    scaled_forward("softmax"),
    scaled_forward("softmax", last_column),
    wrong_forward("softmax", "over the other axis", lambda op, xp, a: xp.permute_dims(
        output_of(op, xp, {"x": xp.permute_dims(a["x"], (1, 0))}), (1, 0))),
    wrong_forward("softmax", "without the shift", lambda op, xp, a: _without_shift(xp, a)),
    wrong_forward("softmax", "NaN for a row of -inf", lambda op, xp, a: _nan_for_an_empty_row(xp, a), last_row),
    scaled_backward("softmax", "x"),
    scaled_backward("softmax", "x", last_row),
    wrong_backward("softmax", "without the inner sum", lambda op, xp, dy, c: {"x": c.y * dy}, EVERY_X),
    wrong_backward("softmax", "the inner mean", lambda op, xp, dy, c: {"x": c.y * (dy - mean(xp, dy * c.y))}, EVERY_X),
]  # fmt: skip

LOG_SOFTMAX = [
    scaled_forward("log_softmax"),
    scaled_forward("log_softmax", last_column),
    wrong_forward("log_softmax", "the logarithm of a softmax",
                  lambda op, xp, a: xp.log(OPS["softmax"].forward(xp, a["x"])[0]), witness=[(BIG_ROW, [[1.0, 2.0]])]),
    wrong_forward("log_softmax", "without the shift", lambda op, xp, a: a["x"] - xp.log(total(xp, xp.exp(a["x"])))),
    scaled_backward("log_softmax", "x"),
    scaled_backward("log_softmax", "x", last_column),
    wrong_backward("log_softmax", "the softmax's own",
                   lambda op, xp, dy, c: {"x": xp.exp(c.y) * (dy - total(xp, dy * xp.exp(c.y)))}, EVERY_X),
    wrong_backward("log_softmax", "without the sum of dy", lambda op, xp, dy, c: {"x": dy - xp.exp(c.y)}, EVERY_X),
]  # fmt: skip


def _sum_of_weights(xp: Any, a: Dict) -> Any:
    """The op's own idea of a denominator."""
    if a["weights"] is None:
        return a["denominator"]
    weight = xp.sum(a["weights"])
    return xp.where(weight > 0, weight, a["denominator"])


def _logits_forward(op: str, logits: str) -> list[Twin]:
    """Wrong forwards that every loss over logits shares."""
    return [
        scaled_forward(op),
        wrong_forward(op, "weights ignored",
                      lambda op, xp, a: output_of(op, xp, a, weights=None if op.name != "decoder_cross_entropy" else
                                                  xp.ones_like(a["weights"]))),
        wrong_forward(op, "its own denominator",
                      lambda op, xp, a: output_of(op, xp, a, denominator=_sum_of_weights(xp, a))),
        wrong_forward(op, "last class a thousandth larger",
                      lambda op, xp, a: output_of(op, xp, a, **{logits: scaled(xp, a[logits], last_column)})),
    ]  # fmt: skip


CROSS_ENTROPY = [
    *_logits_forward("cross_entropy", "logits"),
    scaled_backward("cross_entropy", "logits"),
    scaled_backward("cross_entropy", "logits", last_column),
    wrong_backward("cross_entropy", "without the label",
                   lambda op, xp, dy, c: {"logits": dy * xp.expand_dims(c.factors, axis=1) * xp.exp(c.log_probs)},
                   {"logits": everywhere}),
    wrong_backward("cross_entropy", "weights ignored",
                   lambda op, xp, dy, c: op.backward(xp, dy, c._replace(factors=xp.ones_like(c.factors)))._asdict(),
                   {"logits": everywhere}),
    wrong_backward("cross_entropy", "without the last row",
                   lambda op, xp, dy, c: {"logits": zeroed(xp, op.backward(xp, dy, c).logits, -1)},
                   {"logits": last_row}),
]  # fmt: skip

SPAN_CROSS_ENTROPY = [
    *_logits_forward("span_cross_entropy", "end_logits"),
    wrong_forward("span_cross_entropy", "not halved", lambda op, xp, a: 2 * output_of(op, xp, a)),
    wrong_forward("span_cross_entropy", "the start twice", lambda op, xp, a: output_of(
        op, xp, a, end_logits=a["start_logits"], end_positions=a["start_positions"])),
    scaled_backward("span_cross_entropy", "start_logits"),
    scaled_backward("span_cross_entropy", "end_logits", last_column),
    wrong_backward("span_cross_entropy", "end not halved",
                   lambda op, xp, dy, c: {"end_logits": 2 * op.backward(xp, dy, c).end_logits},
                   {"end_logits": everywhere}),
    wrong_backward("span_cross_entropy", "start and end exchanged",
                   lambda op, xp, dy, c: {"start_logits": op.backward(xp, dy, c).end_logits},
                   {"start_logits": everywhere}),
]  # fmt: skip

SQUARED_ERROR = [
    scaled_forward("squared_error"),
    wrong_forward("squared_error", "the absolute error",
                  lambda op, xp, a: xp.sum(xp.abs(a["predictions"] - a["targets"])) / a["denominator"]),
    wrong_forward("squared_error", "averaged over the rows",
                  lambda op, xp, a: output_of(op, xp, a) * a["denominator"] / max(a["targets"].shape[0], 1)),
    scaled_backward("squared_error", "predictions"),
    scaled_backward("squared_error", "predictions", last_row),
    wrong_backward("squared_error", "without the factor 2",
                   lambda op, xp, dy, c: {"predictions": 0.5 * op.backward(xp, dy, c).predictions},
                   {"predictions": everywhere}),
    wrong_backward("squared_error", "without the denominator",
                   lambda op, xp, dy, c: {"predictions": op.backward(xp, dy, c).predictions * c.denominator},
                   {"predictions": everywhere}),
]  # fmt: skip



def _sigmoid(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))


def _of_probabilities(xp: Any, a: Dict) -> Any:
    """The definition, with the logarithm of rounded probabilities."""
    yes, t = _sigmoid(xp, a["logits"]), a["targets"]
    return -xp.sum(t * xp.log(yes) + (1 - t) * xp.log(1 - yes)) / a["denominator"]


EVERY_LOGIT = {"logits": everywhere}
SURE = OpCase({"logits": np.array([[40.0]]), "targets": np.array([[0.0]]), "denominator": np.asarray(1.0)})

BINARY_CROSS_ENTROPY = [
    scaled_forward("binary_cross_entropy"),
    wrong_forward("binary_cross_entropy", "the logarithm of a sigmoid",
                  lambda op, xp, a: _of_probabilities(xp, a), witness=[(SURE, 1.0)]),
    wrong_forward("binary_cross_entropy", "without the answers that are no",
                  lambda op, xp, a: -xp.sum(a["targets"] * xp.log(_sigmoid(xp, a["logits"]))) / a["denominator"]),
    wrong_forward("binary_cross_entropy", "targets rounded to labels",
                  lambda op, xp, a: output_of(op, xp, a, targets=xp.astype(a["targets"] > 0.5, a["targets"].dtype))),
    wrong_forward("binary_cross_entropy", "the mean over the elements",
                  lambda op, xp, a: output_of(op, xp, a, denominator=a["denominator"] * 0 + max(
                      a["logits"].shape[0] * a["logits"].shape[1], 1))),
    scaled_backward("binary_cross_entropy", "logits"),
    scaled_backward("binary_cross_entropy", "logits", last_column),
    wrong_backward("binary_cross_entropy", "without the denominator",
                   lambda op, xp, dy, c: {"logits": dy * c.difference}, EVERY_LOGIT),
    wrong_backward("binary_cross_entropy", "the derivative of a squared error",
                   lambda op, xp, dy, c: {"logits": 2 * op.backward(xp, dy, c).logits}, EVERY_LOGIT),
    wrong_backward("binary_cross_entropy", "nothing",
                   lambda op, xp, dy, c: {"logits": xp.zeros_like(c.logits)}, EVERY_LOGIT),
]  # fmt: skip


def _normalised(xp: Any, targets: Any) -> Any:
    mass = total(xp, targets)
    return targets / xp.where(mass == 0, xp.ones_like(mass), mass)


SOFT_CROSS_ENTROPY = [
    scaled_forward("soft_cross_entropy"),
    wrong_forward("soft_cross_entropy", "targets made to sum to 1",
                  lambda op, xp, a: output_of(op, xp, a, targets=_normalised(xp, a["targets"]))),
    wrong_forward("soft_cross_entropy", "the likeliest class alone",
                  lambda op, xp, a: output_of(op, xp, a, targets=xp.where(
                      a["targets"] == xp.max(a["targets"], axis=1, keepdims=True), a["targets"],
                      xp.zeros_like(a["targets"])))),
    wrong_forward("soft_cross_entropy", "the divergence from the targets",
                  lambda op, xp, a: output_of(op, xp, a) + xp.sum(a["targets"] * xp.log(xp.where(
                      a["targets"] == 0, xp.ones_like(a["targets"]), a["targets"]))) / a["denominator"]),
    wrong_forward("soft_cross_entropy", "0 times -inf for a class that doesn't count",
                  lambda op, xp, a: -xp.sum(a["targets"] * OPS["log_softmax"].forward(xp, a["logits"])[0])
                  / a["denominator"], witness=[(OpCase({
                      "logits": np.array([[-np.inf, 0.0]]), "targets": np.array([[0.0, 1.0]]),
                      "denominator": np.asarray(1.0)}), 1.0)]),
    scaled_backward("soft_cross_entropy", "logits"),
    scaled_backward("soft_cross_entropy", "logits", last_column),
    wrong_backward("soft_cross_entropy", "as if targets summed to 1",
                   lambda op, xp, dy, c: {"logits": dy * (xp.exp(c.log_probs) - c.targets) / c.denominator},
                   EVERY_LOGIT),
    wrong_backward("soft_cross_entropy", "without the targets",
                   lambda op, xp, dy, c: {"logits": dy * xp.exp(c.log_probs) * total(xp, c.targets) / c.denominator},
                   EVERY_LOGIT),
    wrong_backward("soft_cross_entropy", "without the denominator",
                   lambda op, xp, dy, c: {"logits": op.backward(xp, dy, c).logits * c.denominator}, EVERY_LOGIT),
]  # fmt: skip


KL_DIVERGENCE = [
    scaled_forward("kl_divergence"),
    wrong_forward("kl_divergence", "student and teacher exchanged", lambda op, xp, a: output_of(
        op, xp, a, logits=a["teacher_logits"], teacher_logits=a["logits"])),
    wrong_forward("kl_divergence", "without T²",
                  lambda op, xp, a: output_of(op, xp, a) / a["temperature"] ** 2),
    wrong_forward("kl_divergence", "the temperature of 1", lambda op, xp, a: output_of(op, xp, a, temperature=1.0)),
    wrong_forward("kl_divergence", "weights ignored",
                  lambda op, xp, a: output_of(op, xp, a, weights=xp.ones_like(a["weights"]))),
    wrong_forward("kl_divergence", "its own denominator",
                  lambda op, xp, a: output_of(op, xp, a, denominator=_sum_of_weights(xp, a))),
    scaled_backward("kl_divergence", "logits"),
    scaled_backward("kl_divergence", "logits", last_column),
    wrong_backward("kl_divergence", "weights ignored",
                   lambda op, xp, dy, c: op.backward(xp, dy, c._replace(factors=xp.ones_like(c.factors)))._asdict(),
                   EVERY_LOGIT),
    wrong_backward("kl_divergence", "the other way", lambda op, xp, dy, c: {"logits": -op.backward(xp, dy, c).logits},
                   EVERY_LOGIT),
]  # fmt: skip

COSINE = [
    scaled_forward("cosine"),
    wrong_forward("cosine", "the cosine itself", lambda op, xp, a: xp.sum(a["weights"]) / a["denominator"]
                  - output_of(op, xp, a)),
    wrong_forward("cosine", "a product without lengths", lambda op, xp, a: xp.sum(
        a["weights"] * (1 - xp.sum(a["x"] * a["target"], axis=1))) / a["denominator"]),
    wrong_forward("cosine", "another epsilon", lambda op, xp, a: output_of(op, xp, a, eps=a["eps"] + 1e-3)),
    wrong_forward("cosine", "weights ignored",
                  lambda op, xp, a: output_of(op, xp, a, weights=xp.ones_like(a["weights"]))),
    wrong_forward("cosine", "its own denominator",
                  lambda op, xp, a: output_of(op, xp, a, denominator=_sum_of_weights(xp, a))),
    scaled_backward("cosine", "x"),
    scaled_backward("cosine", "x", last_column),
    wrong_backward("cosine", "as if the length of x were fixed",
                   lambda op, xp, dy, c: {"x": -dy * c.factors * c.both * c.target}, EVERY_X),
    wrong_backward("cosine", "without the target",
                   lambda op, xp, dy, c: {"x": dy * c.factors * c.reciprocal**2 * c.cosine * c.x}, EVERY_X),
]  # fmt: skip

ROWS: list[Twin] = [
    *LAYER_NORM, *SOFTMAX, *LOG_SOFTMAX, *CROSS_ENTROPY, *SPAN_CROSS_ENTROPY, *SQUARED_ERROR, *BINARY_CROSS_ENTROPY,
    *SOFT_CROSS_ENTROPY, *KL_DIVERGENCE, *COSINE,
]  # fmt: skip
