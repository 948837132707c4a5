"""Edge cases: what each docstring states about them, as data.

`statement` quotes the docstring, so that a test can tell that nothing is stated without being tested
(`test_edges`).
"""

import math
from typing import Any

import numpy as np

from bertref.golden.generate.op_inputs import FLOAT32_MIN, OpCase
from bertref.ops import OPS

from .edge import Edge

INF, NAN = math.inf, math.nan


def array(*values: Any) -> np.ndarray:
    return np.asarray(values, dtype=float)


def integers(*values: int) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


def x_is(*values: Any, **options: Any) -> OpCase:
    return OpCase({"x": array(*values)}, options)


def _attention(mask: list[list[bool]], mask_value: float) -> OpCase:
    rng = np.random.default_rng(5)
    q, k, v = rng.normal(size=(3, *np.shape(mask), 4))
    inputs = {"query": q, "key": k, "value": v, "mask": np.asarray(mask), "keep": None}
    return OpCase(
        inputs,
        {"heads": 2, "scale": 0.5, "mask_value": mask_value, "dropout_scale": 1.0, "scale_query": False},
    )


def _attention_edges() -> list[Edge]:
    removed = _attention([[False] * 3], -INF)
    absorbed = _attention([[False] * 3], FLOAT32_MIN)
    dy = np.random.default_rng(6).normal(size=(1, 3, 4))
    nothing = np.zeros((1, 3, 4))

    def mean(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values.mean(axis=1, keepdims=True), values.shape)

    return [
        Edge(
            "a query all of whose keys are masked gets context 0 with mask_value -inf",
            removed,
            nothing,
            dy,
            {"query": nothing, "key": nothing, "value": nothing},
        ),
        Edge(
            "with a finite value the same constant is added to all its scores, so it attends to all keys "
            "(as exactly as scores survive that addition)",
            absorbed,
            mean(absorbed.inputs["value"]),
            dy,
            {"value": mean(dy)},
            units=8,
        ),
    ]


def _logits(logits: Any, labels: list[int], weights: Any = None) -> OpCase:
    weights = None if weights is None else array(*weights)
    inputs = {"logits": np.asarray(logits, dtype=float), "labels": integers(*labels), "weights": weights}
    return OpCase({**inputs, "denominator": np.asarray(2.0)})


def _cross_entropy_edges() -> list[Edge]:
    ln2 = math.log(2)
    label_impossible = _logits([[-INF, 0, 0]], [0])
    return [
        Edge("no row at all gives 0", _logits(np.zeros((0, 3)), []), 0, 1.5, {"logits": np.zeros((0, 3))}),
        Edge(
            "a label whose logit is -inf gives +inf",
            label_impossible,
            INF,
            2,
            {"logits": [[-1, 0.5, 0.5]]},
            units=4,
        ),
        Edge("+inf or NaN among the logits gives NaN", _logits([[INF, 0]], [0]), NAN),
        Edge("+inf or NaN among the logits gives NaN", _logits([[0, 0], [NAN, 0]], [0, 1]), NAN),
        Edge(
            "a row of weight 0 adds exactly 0 to loss and gradient, whatever it holds",
            _logits([[0, 0], [NAN, 0], [INF, INF]], [0, 1, 0], [1, 0, 0]),
            ln2 / 2,
            2,
            {"logits": [[-0.5, 0.5], [0, 0], [0, 0]]},
            units=4,
        ),
    ]


def _decoder_cross_entropy_edges() -> list[Edge]:
    inputs = {
        "x": array([1, -1], [NAN, INF], [-INF, 0]), "table": array([1, 1], [2, 2]), "bias": array(0, 0),
        "labels": integers(0, 1, 1), "weights": array(1, 0, 0), "denominator": np.asarray(2.0),
    }  # fmt: skip
    gradients = {"x": [[0.5, 0.5], [0, 0], [0, 0]], "table": [[-0.5, 0.5], [0.5, -0.5]], "bias": [-0.5, 0.5]}
    statement = "a row of weight 0 adds exactly 0 to loss and gradients, whatever it holds"
    return [Edge(statement, OpCase(inputs, {}), math.log(2) / 2, 2, gradients, units=4)]


def _norm(x: Any, gamma: Any, beta: Any) -> OpCase:
    return OpCase({"x": array(*x), "gamma": array(*gamma), "beta": array(*beta)}, {"eps": 1e-12})


def _layer_norm_edges() -> list[Edge]:
    beta = [0.5, -1, 3, 0.25]
    constant = "a constant row has v = 0 and gives y = β, up to the rounding of its mean times r = 1/√ε"
    spoilt = "one NaN or infinity makes its whole row NaN"
    nothing = [NAN] * 4
    even = [1, -1, 1, -1]
    normal = array(*beta) + array(*even) / math.sqrt(1 + 1e-12)
    return [
        Edge(
            constant,
            _norm([[2] * 4], [1, 2, 3, 4], beta),
            [beta],
            [[1, 2, 3, 4]],
            {"gamma": [0] * 4, "beta": [1, 2, 3, 4]},
        ),
        Edge(constant, _norm([[0.1] * 3], [1, 2, 3], beta[:3]), [beta[:3]], units=3e5),
        Edge(spoilt, _norm([[1, NAN, 2, 3], even], [1] * 4, beta), [nothing, normal], units=4),
        Edge(spoilt, _norm([[1, 2, -INF, 3], even], [1] * 4, beta), [nothing, normal], units=4),
        Edge(
            "",
            _norm([[5], [-3]], [2], [0.75]),
            [[0.75], [0.75]],
            [[1], [2]],
            {"x": [[0], [0]], "gamma": [0], "beta": [3]},
        ),
    ]


def _log_softmax_edges() -> list[Edge]:
    ln2 = math.log(2)
    undefined = (
        "a row of nothing but -inf, a +inf or a NaN makes its whole row NaN: "
        "a distribution over nothing has no logarithm"
    )
    spoilt = x_is([-INF, -INF], [INF, 0], [NAN, 0], [0, 0])
    return [
        Edge(
            "-inf beside finite values gives -inf there and leaves the rest",
            x_is([-INF, 7, 7]),
            [[-INF, -ln2, -ln2]],
            [[1, 2, 3]],
            {"x": [[1, -1, 0]]},
            units=4,
        ),
        Edge(undefined, spoilt, [[NAN, NAN]] * 3 + [[-ln2, -ln2]], units=2),
        Edge(
            "A probability that underflows to 0 still has its exact logarithm here",
            x_is([0, -1000]),
            [[0, -1000]],
        ),
    ]


def _softmax_edges() -> list[Edge]:
    empty = "a row of nothing but -inf (a query without any key) gives zeros, with gradient 0, not NaN"
    spoilt = "+inf or NaN anywhere makes its whole row NaN"
    return [
        Edge(
            empty,
            x_is([-INF, -INF], [0, 0]),
            [[0, 0], [0.5, 0.5]],
            [[3, 4], [1, 3]],
            {"x": [[0, 0], [-0.5, 0.5]]},
        ),
        Edge(spoilt, x_is([INF, 0], [-INF, NAN], [0, 0]), [[NAN, NAN], [NAN, NAN], [0.5, 0.5]]),
        Edge(
            "",
            x_is([1000, 0], [-1000, -1000]),
            [[1, 0], [0.5, 0.5]],
            [[3, 4], [1, 3]],
            {"x": [[0, 0], [-0.5, 0.5]]},
        ),
    ]


def _gelu_edges() -> list[Edge]:
    return [
        Edge("+inf gives +inf", x_is(INF, 0), [INF, 0], [3, 2], {}),
        Edge("-inf gives NaN (-inf · 0), as in torch", x_is(-INF, 0), [NAN, 0]),
        Edge("NaN gives NaN", x_is(NAN, 0), [NAN, 0], [3, 2], {"x": [NAN, 1]}),
    ]


def _gelu_tanh_edges() -> list[Edge]:
    huge = x_is(1e30, -1e30, 0)  # x² overflows in float32 only
    return [
        *_gelu_edges(),
        Edge("Where x³ overflows, t is ±1 and y is x or 0", huge, [1e30, 0, 0]),
        Edge(
            "the gradient is 1 or 0, but NaN where x² overflows, too",
            x_is(1e18, -1e18),
            [1e18, 0],
            [3, 2],
            {"x": [3, 0]},
        ),
        Edge("the gradient is 1 or 0, but NaN where x² overflows, too", x_is(INF), [INF], [3], {"x": [NAN]}),
    ]


def _squared(predictions: Any, targets: Any) -> OpCase:
    return OpCase({"predictions": array(*predictions), "targets": array(*targets), "denominator": np.asarray(2.0)})


def _elements(logits: Any, targets: Any) -> OpCase:
    inputs = {"logits": np.asarray(logits, dtype=float), "targets": np.asarray(targets, dtype=float)}
    return OpCase({**inputs, "denominator": np.asarray(2.0)})


def _binary_cross_entropy_edges() -> list[Edge]:
    nothing = np.zeros((0, 2))
    extremes = "a logit of ±1000 gives 0 or 1000, as the target is right or wrong"
    return [
        Edge("no row at all gives 0", _elements(nothing, nothing), 0, 3, {"logits": nothing}),
        Edge(extremes, _elements([[1000, -1000]], [[1, 0]]), 0, 3, {"logits": [[0, 0]]}),
        Edge(extremes, _elements([[1000, -1000]], [[0, 1]]), 1000, 3, {"logits": [[1.5, -1.5]]}),
        Edge("a NaN gives NaN", _elements([[NAN, 0]], [[1, 1]]), NAN, 2, {"logits": [[NAN, -0.5]]}),
    ]


def _soft_cross_entropy_edges() -> list[Edge]:
    nothing, ln2 = np.zeros((0, 2)), math.log(2)
    impossible = [[-INF, 0, 0]]
    return [
        Edge("no row at all gives 0", _elements(nothing, nothing), 0, 3, {"logits": nothing}),
        Edge(
            "a target of 0 adds exactly 0 to the loss, even where the logit is -inf",
            _elements(impossible, [[0, 1, 0]]),
            ln2 / 2,
            2,
            {"logits": [[0, -0.5, 0.5]]},
            units=4,
        ),
        Edge(
            "a class of logit -inf whose target is not 0 gives +inf",
            _elements(impossible, [[1, 0, 0]]),
            INF,
            2,
            {"logits": [[-1, 0.5, 0.5]]},
            units=4,
        ),
        Edge(
            "a row of targets 0 adds exactly 0 to loss and gradient, whatever its logits hold",
            _elements([[0, 0], [NAN, 0], [INF, INF]], [[1, 0], [0, 0], [0, 0]]),
            ln2 / 2,
            2,
            {"logits": [[-0.5, 0.5], [0, 0], [0, 0]]},
            units=4,
        ),
    ]


def _divergence(logits: Any, teacher: Any, weights: Any) -> OpCase:
    both = {"logits": np.asarray(logits, dtype=float), "teacher_logits": np.asarray(teacher, dtype=float)}
    return OpCase({**both, "weights": array(*weights), "denominator": np.asarray(2.0)}, {"temperature": 2.0})


def _kl_divergence_edges() -> list[Edge]:
    nothing, ln2 = np.zeros((0, 2)), math.log(2)
    return [
        Edge("no row at all gives 0", _divergence(nothing, nothing, []), 0, 3, {"logits": nothing}),
        Edge(
            "a row of weight 0 adds exactly 0 to loss and gradient, whatever it holds",
            _divergence([[0, 0], [NAN, 0], [0, 0]], [[-INF, 0], [0, 0], [INF, INF]], [1, 0, 0]),
            2 * ln2,
            3,
            {"logits": [[1.5, -1.5], [0, 0], [0, 0]]},
            units=4,
        ),
        Edge(
            "a class that both think impossible (-inf) adds 0",
            _divergence([[-INF, 0, 0]], [[-INF, 5, 5]], [1]),
            0,
            3,
            {"logits": [[0, 0, 0]]},
        ),
        Edge(
            "a class of the student's logit -inf that the teacher thinks possible gives +inf",
            _divergence([[-INF, 0]], [[0, 0]], [1]),
            INF,
            2,
            {"logits": [[-1, 1]]},
        ),
        Edge("KL(teacher || student), 0 where they agree", _divergence([[3, 1]], [[3, 1]], [1]), 0, 2),
    ]


def _distance(x: Any, target: Any, weights: Any) -> OpCase:
    both = {"x": np.asarray(x, dtype=float), "target": np.asarray(target, dtype=float)}
    return OpCase({**both, "weights": array(*weights), "denominator": np.asarray(2.0)}, {"eps": 1e-12})


def _cosine_edges() -> list[Edge]:
    nothing = np.zeros((0, 2))
    return [
        Edge("no row at all gives 0", _distance(nothing, nothing, []), 0, 3, {"x": nothing}),
        Edge(
            "a row of weight 0 adds exactly 0 to loss and gradient, whatever it holds",
            _distance([[1, 0], [NAN, 0], [INF, 1]], [[0, 1], [1, 1], [1, 1]], [1, 0, 0]),
            0.5,
            2,
            {"x": [[0, -1], [0, 0], [0, 0]]},
            units=1e5,  # of the ε
        ),
        Edge("rows of zeros have distance 1", _distance([[0, 0]], [[3, 4]], [1]), 0.5),
    ]


def _packing(x: Any, valid: list[bool]) -> OpCase:
    places = np.flatnonzero(valid)
    slots = np.where(valid, np.cumsum(valid) - 1, 0)
    return OpCase({"x": np.asarray(x, dtype=float), "slots": slots, "valid": np.asarray(valid), "places": places})


def _span(logits: Any, positions: list[int], weights: Any) -> OpCase:
    both = {f"{name}_logits": np.asarray(logits, dtype=float) for name in ("start", "end")}
    where = {f"{name}_positions": integers(*positions) for name in ("start", "end")}
    return OpCase({**both, **where, "weights": array(*weights), "denominator": np.asarray(2.0)})


EDGES: dict[str, list[Edge]] = {
    **{name: [] for name in OPS},
    "attention": _attention_edges(),
    "cross_entropy": _cross_entropy_edges(),
    "decoder_cross_entropy": _decoder_cross_entropy_edges(),
    "binary_cross_entropy": _binary_cross_entropy_edges(),
    "soft_cross_entropy": _soft_cross_entropy_edges(),
    "kl_divergence": _kl_divergence_edges(),
    "cosine": _cosine_edges(),
    "layer_norm": _layer_norm_edges(),
    "log_softmax": _log_softmax_edges(),
    "softmax": _softmax_edges(),
    "gelu_erf": _gelu_edges(),
    "gelu_tanh": _gelu_tanh_edges(),
    "tanh": [
        Edge("±inf gives ±1 with gradient 0", x_is(INF, -INF, 0), [1, -1, 0], [2, 3, 4], {"x": [0, 0, 4]}),
        Edge("NaN gives NaN", x_is(NAN, 0), [NAN, 0], [2, 3], {"x": [NAN, 3]}),
    ],
    "relu": [
        Edge(
            "+inf gives +inf, -inf gives 0, NaN gives NaN (with gradient 0)",
            x_is(INF, -INF, NAN),
            [INF, 0, NAN],
            [2, 3, 4],
            {"x": [2, 0, 0]},
        ),
        Edge("The derivative at 0 is taken as 0", x_is(0, -0.0, 1), [0, 0, 1], [2, 3, 4], {"x": [0, 0, 4]}),
    ],
    "dropout": [
        Edge(
            "a dropped NaN or infinity is gone (0), not multiplied by 0",
            OpCase(
                {"x": array(NAN, INF, -INF, 2), "keep": np.array([False, False, False, True])},
                {"scale": 1.25},
            ),
            [0, 0, 0, 2.5],
            [NAN, INF, 3, 4],
            {"x": [0, 0, 0, 5]},
        ),
    ],
    "squared_error": [
        Edge("no row at all gives 0", _squared([], []), 0, 3, {"predictions": []}),
        Edge("a NaN gives NaN", _squared([1, NAN], [1, 1]), NAN, 2, {"predictions": [0, NAN]}),
    ],
    "embedding": [
        Edge(
            "Google's table has no special padding row, and so has none here",
            OpCase({"table": array([1, 2], [3, 4]), "ids": integers(0, 0, 0)}),
            [[1, 2]] * 3,
            [[1, 2], [3, 4], [5, 6]],
            {"table": [[9, 12], [0, 0]]},
        ),
    ],
    "gather": [
        Edge(
            "Unused prediction slots all point at the first token with weight 0, so duplicates are the rule, "
            "not the exception",
            OpCase({"x": array([1, 2], [3, 4]), "index": integers(0, 1, 0)}),
            [[1, 2], [3, 4], [1, 2]],
            [[1, 2], [3, 4], [5, 6]],
            {"x": [[6, 8], [3, 4]]},
        ),
    ],
    "unpack": [
        Edge(
            "else 0",
            _packing([[NAN], [7]], [True, False, True]),
            [[NAN], [0], [7]],
            [[1], [2], [3]],
            {"x": [[1], [3]]},
        ),
    ],
    "pack": [
        Edge(
            "and 0 at the padding",
            _packing([[1], [NAN], [7]], [True, False, True]),
            [[1], [7]],
            [[NAN], [3]],
            {"x": [[NAN], [0], [3]]},
        ),
    ],
    "span_cross_entropy": [
        Edge(
            "A sequence whose answer lies outside its window has weight 0",
            _span([[0, 0], [NAN, 0]], [1, 0], [1, 0]),
            math.log(2) / 2,
            2,
            {"start_logits": [[0.25, -0.25], [0, 0]], "end_logits": [[0.25, -0.25], [0, 0]]},
            units=4,
        ),
    ],
}

ELSEWHERE = {
    ("cosine", "sums are taken in at least float32"): "test_dtypes",
    ("binary_cross_entropy", "the sum is taken in at least float32"): "test_dtypes",
    ("cross_entropy", "Labels out of range are refused on the host"): "a batch is checked when it is made",
    ("log_softmax", "The sum is taken in at least float32"): "test_dtypes",
    ("softmax", "Sums are taken in at least float32"): "test_dtypes",
    ("squared_error", "the sum is taken in at least float32"): "test_dtypes",
}
"""Statements that need another dtype or another room, and where they are tested."""
