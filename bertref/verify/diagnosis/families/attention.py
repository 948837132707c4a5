"""Attention: the scores' factor, the mask, the softmax."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...emulation.formats import FORMATS
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ...judgement.score_scale import gains
from ...records import HALVES
from ..hypothesis import Hypothesis, Number, Possibility, Told, by_layer, named, of_op
from ..scene import Scene
from .heads import by_head, merged
from .tools import HALF, formula, held, in_half, is_fine

Values = Any
HUGE = 1e30
"""What keeps a key out, in float64; a row that has no key left is uniform over all, as with any finite mask."""
SCALE = {
    "torch": "scores = q @ k.transpose(-1, -2) / math.sqrt(head_size)",
    "JAX": "jnp.einsum('bqhd,bkhd->bhqk', q, k) / jnp.sqrt(head_size)",
    "NumPy": "q @ k.swapaxes(-1, -2) / np.sqrt(head_size)",
    "C": "scale = 1.0f / sqrtf(head_size)",
}
MASK = {
    "torch": "scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min); attn_mask= of scaled_dot_product_attention",
    "JAX": "jnp.where(mask, scores, -1e9); mask= of dot_product_attention",
    "NumPy": "np.where(mask[:, None, None, :] == 1, scores, -1e9)",
    "C": "the loop over keys, which ends at the sequence's length",
}
SOFTMAX = {
    "torch": "scores.softmax(dim=-1)", "JAX": "jax.nn.softmax(scores, axis=-1)",
    "NumPy": "e = np.exp(scores - scores.max(-1)); e / e.sum(-1)", "C": "the loop that sums up exponentials",
}  # fmt: skip


def _factors(scene: Scene) -> dict[str, float]:
    c = scene.case.config
    D, A, H = c.head_size, c.num_attention_heads, c.hidden_size
    return {
        "1/sqrt(hidden size)": 1 / math.sqrt(H), "1/sqrt(number of heads)": 1 / math.sqrt(A),
        "1/(number of heads)": 1 / A, "1": 1.0, "1/(head size)": 1 / D, "sqrt(head size)": math.sqrt(D),
        "1/sqrt(sqrt(head size))": D**-0.25, "1/sqrt(2 * head size)": 1 / math.sqrt(2 * D),
        "1/(hidden size)": 1 / H, "1/sqrt(sequence length)": 1 / math.sqrt(scene.case.batch.input_ids.shape[1]),
    }  # fmt: skip


def _rounded_factors(scene: Scene) -> list[float]:
    """What a half type makes of 1/sqrt(head size)."""
    if scene.precision not in HALVES:
        return []
    size, held = scene.case.config.head_size, FORMATS[scene.precision.removeprefix("mixed-")]
    return [gain / math.sqrt(size) for gain in gains(size, held)]


def _scaled(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    arithmetic = scene.replay.graph.arithmetic
    factor = value / arithmetic.scale

    def times(part: Contribution) -> Contribution:
        return part._replace(compute=lambda *inputs: part.compute(*inputs) * factor, terms=None)

    return Rewritten(times(arithmetic.forward(row)), tuple(times(arithmetic.backward(row, i)) for i in (0, 1)))


def softmax(x: Values, axis: int = -1, more: float = 0.0) -> Values:
    """`more` exponentials of 0 are added to the sum."""
    top = x.max(axis=axis, keepdims=True)
    e = np.exp(x - top)
    total = e.sum(axis=axis, keepdims=True)
    return e / (total + more * np.exp(-top) if more else total)


def _keys(scene: Scene) -> Values:
    """(B, 1, 1, S) whether a key is a token."""
    return scene.case.batch.attention_mask.astype(bool)[:, None, None, :]


def masked(scores: Values, allowed: Values) -> Values:
    return np.where(allowed, scores, -HUGE)


def _causal(S: int) -> Values:
    return np.tril(np.ones((S, S), bool))


def _by(
    compute: Callable[[Scene, Values, Any], Values], axis: int | None = -1, *, padding: bool = True
) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    """Probabilities that a softmax along an axis makes of scores, in which the mask may stand otherwise, with its way
    back; of padding, too, unless it is kept out."""

    def make(scene: Scene, row: TensorRow, value: Any) -> Rewritten:
        forward = Contribution(row.inputs, lambda scores: compute(scene, scores, value))
        if axis is None:  # a row without a key isn't a softmax of its scores
            return Rewritten(forward, padding=padding)
        return Rewritten(forward, (Contribution((f"grad:{row.name}", row.name), back),), padding=padding)

    def back(d: Values, y: Values) -> Values:
        """Of the recorded probabilities, as the reference's."""
        return y * (d - np.sum(d * y, axis=axis, keepdims=True))

    return make


def _exchanged(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Where the scores were recorded: else it is as if queries and keys had each other's weights."""
    if row.name not in scene.values:
        return None
    factor, heads = scene.replay.graph.arithmetic.scale, scene.case.config.num_attention_heads

    def scores(q: Values, k: Values) -> Values:
        q, k = (by_head(x, heads) for x in map(scene.raw, row.inputs, (q, k)))
        return k @ q.swapaxes(-1, -2) * factor

    return Rewritten(Contribution(row.inputs, scores), padding=True)


def _tempered(scene: Scene, row: TensorRow, factor: float) -> Rewritten | None:
    """Where the scores were recorded: else it is the scores' factor."""
    if row.inputs[0] not in scene.values:
        return None
    return _by(lambda scene, x, value: softmax(masked(value * x, _keys(scene))), None)(scene, row, factor)


def _temperatures(scene: Scene) -> dict[str, float]:
    """Factors of the scores in the softmax."""
    root = math.sqrt(scene.case.config.head_size)
    return {"log(2), as 2 to the power of the scores is": math.log(2), "1/log(2)": 1 / math.log(2),
            "1/sqrt(head size)": 1 / root, "sqrt(head size)": root}  # fmt: skip


def _multiplied(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Where scores of padding were recorded: else they are taken for 0, and a mask that is missing makes the same."""
    seen = scene.values.get(row.inputs[0])
    if seen is None or not np.any(np.where(_keys(scene), 0.0, seen)):
        return None
    return _by(lambda scene, x, _: softmax(x * _keys(scene)), None)(scene, row, None)


def _lengths(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one key more than there are tokens", 1)
    yield Possibility("one key fewer than there are tokens", -1)


def _other_length(scene: Scene, scores: Values, by: int) -> Values:
    """Of rows that have one key left at least."""
    lengths = scene.case.batch.attention_mask.astype(np.int64).sum(axis=1)
    allowed = np.arange(scores.shape[-1]) < np.maximum(lengths + by, 1)[:, None]
    return softmax(masked(scores, allowed[:, None, None, :]))


def _masks(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the tokens of its own segment", "segment")
    yield Possibility("itself and later tokens: the causal mask is the wrong way round", "later")
    yield Possibility("earlier tokens and not itself", "earlier")
    yield Possibility("all tokens but itself", "others")
    yield Possibility("all tokens but the first", "not first")
    for i in (1, 2, 3, 4, 8):
        yield Possibility(f"tokens at most {i} places away", i)


def _otherwise_masked(scene: Scene, scores: Values, which: Any) -> Values:
    """A query that has no key left keeps all of them."""
    at, keys = np.arange(scores.shape[-1]), _keys(scene)
    types = scene.case.batch.token_type_ids
    allowed = {
        "segment": (types[:, :, None] == types[:, None, :])[:, None],
        "later": at[:, None] <= at, "earlier": at[:, None] > at, "others": at[:, None] != at, "not first": at > 0,
    }.get(which)  # fmt: skip
    if allowed is None:
        allowed = np.abs(at[:, None] - at) <= which
    allowed = keys & allowed
    return softmax(masked(scores, np.where(allowed.any(axis=-1, keepdims=True), allowed, keys)))


def _functions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the sigmoid of each score", "sigmoid")
    yield Possibility("ReLU of each score", "relu")
    yield Possibility("the softmax and then its logarithm", "log")
    yield Possibility("the softmax twice", "twice")


def _no_softmax(scene: Scene, scores: Values, which: str) -> Values:
    keys = _keys(scene)
    if which == "sigmoid":
        return keys * 0.5 * (1 + np.tanh(scores / 2))
    if which == "relu":
        return keys * np.maximum(scores, 0)
    made = softmax(masked(scores, keys))
    if which == "log":
        return np.log(np.where(keys, made, 1.0))
    return softmax(masked(made, keys))


def _with_epsilon(scene: Scene, scores: Values, epsilon: float) -> Values:
    scores = masked(scores, _keys(scene))
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / (e.sum(axis=-1, keepdims=True) + epsilon)


def _score_ways(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    turned = "of queries and keys that are turned by their positions (RoPE), in pairs of "
    yield Possibility(f"{turned}neighbouring channels", "rope pairs")
    yield Possibility(f"{turned}a head's halves", "rope halves")
    yield Possibility("of queries and keys of length 1", "unit")
    yield Possibility("products less a slope for each head times the distance of the two tokens (ALiBi)", "alibi")
    yield Possibility("of the first head, for all heads", "first")
    yield Possibility("without their signs", "absolute")


def _turned(x: Values, way: str) -> Values:
    """(B, A, S, D), by the angles of the positions."""
    S, D = x.shape[-2:]
    angles = np.arange(S)[:, None] / 10000.0 ** (np.arange(0, D, 2) / D)
    cos, sin = np.cos(angles), np.sin(angles)
    if way == "rope halves":
        a, b = x[..., : D // 2], x[..., D // 2 :]
        return np.concatenate((a * cos - b * sin, a * sin + b * cos), -1)
    a, b = x[..., 0::2], x[..., 1::2]
    return np.stack((a * cos - b * sin, a * sin + b * cos), -1).reshape(x.shape)


def _other_scores(scene: Scene, row: TensorRow, way: str) -> Rewritten | None:
    config, factor = scene.case.config, scene.replay.graph.arithmetic.scale
    A, D = config.num_attention_heads, config.head_size
    if way.startswith("rope") and D % 2:
        return None

    def scores(q: Values, k: Values) -> Values:
        q, k = (by_head(x, A) for x in (q, k))
        if way.startswith("rope"):
            q, k = _turned(q, way), _turned(k, way)
        if way == "unit":
            q, k = (x / np.sqrt((x * x).sum(axis=-1, keepdims=True)) for x in (q, k))
        made = factor * (q @ k.swapaxes(-1, -2))
        if way == "alibi":
            at = np.arange(made.shape[-1])
            made = made - np.abs(at[:, None] - at) * (2.0 ** (-8 * np.arange(1, A + 1) / A))[:, None, None]
        if way == "first":
            made = made[:, np.zeros(A, np.int64)]
        return np.abs(made) if way == "absolute" else made

    return Rewritten(Contribution(row.inputs, scores))


def _capped(scene: Scene, row: TensorRow, cap: float) -> Rewritten:
    made = scene.forward(row)
    return formula(row, lambda q, k: cap * np.tanh(made.compute(q, k) / cap))


def _scaled_early(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("before its bias is added, which is not scaled", "before")
    yield Possibility("after its bias is added, which makes the same scores of another query", "after")


def _query_scaled(scene: Scene, row: TensorRow, when: str) -> Rewritten:
    factor, made = scene.replay.graph.arithmetic.scale, scene.forward(row)
    if row.op == "scores":
        return formula(row, lambda q, k: made.compute(q, k) / factor)
    bias = scene.params[row.parameters[1].name]
    if when == "after":
        return formula(row, lambda x: factor * made.compute(x))
    return formula(row, lambda x: factor * (made.compute(x) - bias) + bias)


def _over_queries(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    heads = scene.case.config.num_attention_heads

    def context(probs: Values, v: Values) -> Values:
        probs, v = (scene.raw(name, x) for name, x in zip(row.inputs, (probs, v), strict=True))
        return merged(probs.swapaxes(-1, -2) @ by_head(v, heads))

    return Rewritten(Contribution(row.inputs, context), padding=True)


def _in_half(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Scores and probabilities in float16, what is between them in float32."""
    if not is_fine(scene):
        return None
    seen = scene.values.get(row.name)

    def compute(scores: Values) -> Values:
        scores = held(scores, HALF)
        return in_half(softmax(masked(scores, _keys(scene))), seen)

    return formula(row, compute)


def _probabilities(told: Told) -> str:
    return f"at {told.at}"


PROBS = of_op("masked_softmax")

HYPOTHESES = (
    Hypothesis(
        "attention.scale", of_op("scores"), _scaled,
        lambda told: f"attention's scores are multiplied by {told.number} at {told.at}; the factor is 1/sqrt(head "
                     f"size), {told.scene.replay.graph.arithmetic.scale:.5g}",
        SCALE, "divide by the root of the head size",
        number=Number("scale", 1e-4, 1e3, _factors, right=_rounded_factors,
                      own=lambda scene: scene.replay.graph.arithmetic.scale),
    ),
    Hypothesis(
        "attention.scores_transposed", of_op("scores"), _exchanged,
        lambda told: f"scores are of keys and queries, not of queries and keys ({told.at}): the last "
                     "two axes are exchanged",
        {**SCALE, "torch": "torch.einsum('bhqd,bhkd->bhkq', q, k)"}, "the last axis is that of the keys",
    ),
    Hypothesis(
        "attention.query_scaled", named("query", "scores"), _query_scaled,
        lambda told: f"the query, and not the scores, is multiplied by 1/sqrt(head size) {told.in_layers}, "
                     f"{told.choice}",
        {"torch": "(x @ W.T) * scale + bias", "JAX": "the same", "NumPy": "the same", "C": "the same"},
        "multiply the scores, or the query with its bias", choices=_scaled_early, together=by_layer,
    ),
    Hypothesis(
        "attention.other_scores", of_op("scores"), _other_scores,
        lambda told: f"scores ({told.at}) are {told.choice}; they are the products of queries and keys, divided by the "
                     "root of the head size",
        {**SCALE, "torch": "another model's attention"}, "compute scores as BERT does", choices=_score_ways,
    ),
    Hypothesis(
        "attention.scores_capped", of_op("scores"), _capped,
        lambda told: f"scores x are c tanh(x / c) with c = {told.number} ({told.at}), as Gemma's; BERT's have no cap",
        {**SCALE, "torch": "cap * torch.tanh(scores / cap)"}, "leave it out",
        number=Number("c", 0.5, 200.0, lambda scene: {"50": 50.0, "30": 30.0, "20": 20.0, "10": 10.0}),
    ),
    Hypothesis(
        "attention.other_mask", PROBS, _by(_otherwise_masked, padding=False),
        lambda told: f"a token attends to {told.choice} {_probabilities(told)}; it attends to all tokens of its row",
        {**MASK, "torch": "another model's attn_mask"}, "mask padding, and nothing else", choices=_masks,
    ),
    Hypothesis(
        "attention.other_function", PROBS, _by(_no_softmax, None),
        lambda told: f"the probabilities {_probabilities(told)} are {told.choice}; they are the softmax over the keys",
        SOFTMAX, "apply the softmax over the keys", choices=_functions,
    ),
    Hypothesis(
        "attention.softmax_epsilon", PROBS, _by(_with_epsilon, None, padding=False),
        lambda told: f"{told.number} is added to the sum of exponentials {_probabilities(told)}; nothing is",
        {**SOFTMAX, "NumPy": "e / (e.sum(-1, keepdims=True) + 1e-6)"}, "divide by the sum of the exponentials alone",
        number=Number("epsilon", 1e-7, 0.9, lambda scene: {
            "1e-6": 1e-6, "1e-5": 1e-5, "1e-4": 1e-4, "1e-3": 1e-3, "0.01": 0.01, "0.1": 0.1,
        }),
    ),
    Hypothesis(
        "attention.temperature", PROBS, _tempered,
        lambda told: f"the softmax {_probabilities(told)} is of the scores times {told.number}; these are "
                     "scaled already",
        {**SOFTMAX, "C": "exp2f(x) for expf(x), which wants x / log(2)"},
        "give the softmax the scores as they are",
        number=Number("factor", 1e-2, 1e2, _temperatures, own=lambda scene: 1.0),
    ),
    Hypothesis(
        "attention.mask_multiplied", PROBS, _multiplied,
        lambda told: f"the mask multiplies the scores {_probabilities(told)}: padding has the score 0, which is not "
                     "kept out",
        MASK, "set the scores of padding to the lowest number of the type",
    ),
    Hypothesis(
        "attention.mask_length", PROBS, _by(_other_length, None),
        lambda told: f"the softmax {_probabilities(told)} is over {told.choice}",
        {**MASK, "C": "the loop over keys: < length, not <= length"}, "attend to as many keys as there are tokens",
        choices=_lengths,
    ),
    Hypothesis(
        "attention.context_transposed", of_op("context"), _over_queries,
        lambda told: f"values are added up over the queries, with transposed probabilities ({told.at}); they are "
                     "added up over the keys",
        {"torch": "torch.einsum('bhqk,bhqd->bhkd', probs, v)", "JAX": "the same einsum", "NumPy": "probs.swapaxes @ v",
         "C": "probs[k * S + q] for probs[q * S + k]"},
        "probs @ v",
    ),
    Hypothesis(
        "attention.mask_missing", PROBS, _by(lambda scene, x, _: softmax(x)),
        lambda told: f"padding is attended to {_probabilities(told)}: no mask reaches the softmax, or one over the "
                     "queries, which leaves real tokens the same",
        MASK, "add the mask, as (B, 1, 1, S), to the scores",
    ),
    Hypothesis(
        "attention.mask_value", PROBS, _by(lambda scene, x, value: softmax(x + value * ~_keys(scene))),
        lambda told: f"padding is kept out by {told.number} {_probabilities(told)}, which is too little",
        MASK, "use the lowest number of the type, or -inf",
        number=Number("mask value", 1e-3, 1e3, lambda scene: {"-1": -1.0, "-10": -10.0, "-100": -100.0}, sign=-1),
    ),
    Hypothesis(
        "attention.mask_inverted", PROBS, _by(lambda scene, x, _: softmax(masked(x, ~_keys(scene))), None),
        lambda told: f"the mask is inverted {_probabilities(told)}: padding alone is attended to",
        MASK, "1 is a token, 0 is padding",
    ),
    Hypothesis(
        "attention.mask_after_softmax", PROBS, _by(lambda scene, x, _: softmax(x) * _keys(scene), None),
        lambda told: f"the mask multiplies the probabilities {_probabilities(told)}, which then no longer add up to 1; "
                     "it belongs before the softmax",
        MASK, "mask the scores",
    ),
    Hypothesis(
        "attention.causal", PROBS,
        _by(lambda scene, x, _: softmax(masked(x, _keys(scene) & _causal(x.shape[-1]))), padding=False),
        lambda told: f"no token sees later ones {_probabilities(told)}: a causal mask, as in GPT",
        {**MASK, "torch": "is_causal=True"}, "BERT attends in both directions",
    ),
    Hypothesis(
        "attention.softmax_over_queries", PROBS,
        _by(lambda scene, x, _: softmax(masked(x, _keys(scene)), -2), -2),
        lambda told: f"the softmax goes over the queries {_probabilities(told)}; it goes over the keys, the last axis",
        SOFTMAX, "the softmax's axis is the last one",
    ),
    Hypothesis(
        "attention.softmax_over_heads", PROBS,
        _by(lambda scene, x, _: softmax(masked(x, _keys(scene)), 1), 1),
        lambda told: f"the softmax goes over the heads {_probabilities(told)}; it goes over the keys, the last axis",
        SOFTMAX, "the softmax's axis is the last one",
    ),
    Hypothesis(
        "attention.softmax_plus_one", PROBS,
        _by(lambda scene, x, _: softmax(masked(x, _keys(scene)), more=1.0), padding=False),
        lambda told: f"1 is added to the sum of exponentials {_probabilities(told)} (softmax1, add_zero_attn)",
        SOFTMAX, "divide by the sum of the exponentials alone",
    ),
    Hypothesis(
        "attention.softmax_half", PROBS, _in_half,
        lambda told: f"the softmax {_probabilities(told)} is computed in float16, and the rest is not",
        {**SOFTMAX, "torch": "scores.half().softmax(-1), or autocast around it"},
        "give the softmax float32 numbers, or verify the model as what it is (--precision)", way_back=False,
    ),
    Hypothesis(
        "attention.softmax_missing", PROBS, _by(lambda scene, x, _: x * _keys(scene), None),
        lambda told: f"there is no softmax {_probabilities(told)}",
        SOFTMAX, "apply the softmax over the keys",
    ),
)  # fmt: skip
