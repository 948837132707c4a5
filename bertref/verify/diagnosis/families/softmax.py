"""The softmax of attention: of what, over what, and what stands there in its place."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility
from ..scene import Scene
from .attention import PROBS, keys, masked, probabilities_by, softmax
from .tools import HALF, formula, held, in_half, is_fine

Values = Any
SOFTMAX = {
    "torch": "scores.softmax(dim=-1)", "JAX": "jax.nn.softmax(scores, axis=-1)",
    "NumPy": "e = np.exp(scores - scores.max(-1)); e / e.sum(-1)", "C": "the loop that sums up exponentials",
}  # fmt: skip


def _tempered(scene: Scene, row: TensorRow, factor: float) -> Rewritten | None:
    """Where the scores were recorded: else it is the scores' factor."""
    if row.inputs[0] not in scene.values:
        return None
    return probabilities_by(lambda scene, x, value: softmax(masked(value * x, keys(scene))), None)(scene, row, factor)


def _temperatures(scene: Scene) -> dict[str, float]:
    """Factors of the scores in the softmax."""
    root = math.sqrt(scene.case.config.head_size)
    return {"log(2), as 2 to the power of the scores is": math.log(2), "1/log(2)": 1 / math.log(2),
            "1/sqrt(head size)": 1 / root, "sqrt(head size)": root}  # fmt: skip


def _functions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the sigmoid of each score", "sigmoid")
    yield Possibility("ReLU of each score", "relu")
    yield Possibility("the softmax and then its logarithm", "log")
    yield Possibility("the softmax twice", "twice")


def _no_softmax(scene: Scene, scores: Values, which: str) -> Values:
    tokens = keys(scene)
    if which == "sigmoid":
        return tokens * 0.5 * (1 + np.tanh(scores / 2))
    if which == "relu":
        return tokens * np.maximum(scores, 0)
    made = softmax(masked(scores, tokens))
    if which == "log":
        return np.log(np.where(tokens, made, 1.0))
    return softmax(masked(made, tokens))


def _with_epsilon(scene: Scene, scores: Values, epsilon: float) -> Values:
    scores = masked(scores, keys(scene))
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / (e.sum(axis=-1, keepdims=True) + epsilon)


Over = tuple[tuple[int, ...], bool, bool]
"""The axes, whether what is subtracted is the largest along them, too, and whether of tokens alone."""


def _sums(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    over: dict[str, tuple[int, ...]] = {
        "the queries": (-2,), "queries and keys": (-2, -1), "heads, queries and keys": (1, -2, -1),
        "the whole batch": (0, 1, -2, -1),
    }  # fmt: skip
    yield Possibility("sum over the heads, of scores less the largest over the keys", ((1,), False, True))
    for words, axes in over.items():
        for which, tokens in ((words, False), (f"{words}, without padding", True)):
            if tokens or axes != (-2,):  # else padded keys are no numbers, or it is the softmax over the queries
                yield Possibility(f"sum over {which}, of scores less the largest over the keys", (axes, False, tokens))
                yield Possibility(f"sum over {which}", (axes, True, tokens))


def _summed(scene: Scene, row: TensorRow, value: Over) -> Rewritten:
    """Queries of padding are masked as keys are: where nothing is left, the sum is 1."""
    axes, together, tokens = value
    allowed = keys(scene)
    if tokens:
        allowed = allowed & allowed.swapaxes(-1, -2)

    def compute(scores: Values) -> Values:
        x = masked(scores if tokens else scene.raw(row.inputs[0], scores), allowed)
        e = np.exp(x - x.max(axis=axes if together else -1, keepdims=True))
        if tokens:
            e = e * allowed
        some = np.broadcast_to(allowed, x.shape).any(axis=axes, keepdims=True)
        return e / (e.sum(axis=axes, keepdims=True) + (~some if tokens else 0.0))

    return replace(formula(row, compute), padding=not tokens)


def _in_half(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Scores and probabilities in float16, what is between them in float32."""
    if not is_fine(scene):
        return None
    seen = scene.values.get(row.name)

    def compute(scores: Values) -> Values:
        scores = held(scores, HALF)
        return in_half(softmax(masked(scores, keys(scene))), seen)

    return formula(row, compute)


HYPOTHESES = (
    Hypothesis(
        "attention.other_function", PROBS, probabilities_by(_no_softmax, None),
        lambda told: f"the probabilities at {told.at} are {told.choice}; they are the softmax over the keys",
        SOFTMAX, "apply the softmax over the keys", choices=_functions,
    ),
    Hypothesis(
        "attention.softmax_epsilon", PROBS, probabilities_by(_with_epsilon, None, padding=False),
        lambda told: f"{told.number} is added to the sum of exponentials at {told.at}, of scores less their largest; "
                     "nothing is",
        {**SOFTMAX, "NumPy": "e / (e.sum(-1, keepdims=True) + 1e-6)"}, "divide by the sum of the exponentials alone",
        number=Number("epsilon", 1e-7, 10.0, lambda scene: {
            "1e-6": 1e-6, "1e-5": 1e-5, "1e-4": 1e-4, "1e-3": 1e-3, "0.01": 0.01, "0.1": 0.1, "1": 1.0,
        }),
    ),
    Hypothesis(
        "attention.temperature", PROBS, _tempered,
        lambda told: f"the softmax at {told.at} is of the scores times {told.number}; these are "
                     "scaled already",
        {**SOFTMAX, "C": "exp2f(x) for expf(x), which wants x / log(2)"},
        "give the softmax the scores as they are",
        number=Number("factor", 1e-2, 1e2, _temperatures, own=lambda scene: 1.0),
    ),
    Hypothesis(
        "attention.softmax_sum", PROBS, _summed,
        lambda told: f"exponentials at {told.at} are divided by their {told.choice}; they are divided by their sum "
                     "over the keys",
        {**SOFTMAX, "NumPy": "e / e.sum(), e / e.sum(axis=0)"}, "divide by the sum over the last axis",
        choices=_sums,
    ),
    Hypothesis(
        "attention.softmax_over_queries", PROBS,
        probabilities_by(lambda scene, x, _: softmax(masked(x, keys(scene)), -2), -2),
        lambda told: f"the softmax goes over the queries at {told.at}; it goes over the keys, the last axis",
        SOFTMAX, "the softmax's axis is the last one",
    ),
    Hypothesis(
        "attention.softmax_over_heads", PROBS,
        probabilities_by(lambda scene, x, _: softmax(masked(x, keys(scene)), 1), 1),
        lambda told: f"the softmax goes over the heads at {told.at}; it goes over the keys, the last axis",
        SOFTMAX, "the softmax's axis is the last one",
    ),
    Hypothesis(
        "attention.softmax_plus_one", PROBS,
        probabilities_by(lambda scene, x, _: softmax(masked(x, keys(scene)), more=1.0), padding=False),
        lambda told: f"1 is added to the sum of exponentials at {told.at} (softmax1, add_zero_attn)",
        SOFTMAX, "divide by the sum of the exponentials alone",
    ),
    Hypothesis(
        "attention.softmax_half", PROBS, _in_half,
        lambda told: f"the softmax at {told.at} is computed in float16, and the rest is not",
        {**SOFTMAX, "torch": "scores.half().softmax(-1), or autocast around it"},
        "give the softmax float32 numbers, or verify the model as what it is (--precision)", way_back=False,
    ),
    Hypothesis(
        "attention.softmax_missing", PROBS, probabilities_by(lambda scene, x, _: x * keys(scene), None),
        lambda told: f"there is no softmax at {told.at}",
        SOFTMAX, "apply the softmax over the keys",
    ),
)  # fmt: skip
