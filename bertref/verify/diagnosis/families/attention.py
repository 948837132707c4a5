"""Attention: the scores' factor, what they are made of, the mask."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ....topology import last_embedding, layer_input
from ...emulation.formats import FORMATS
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ...judgement.score_scale import gains
from ...records import HALVES
from ..hypothesis import Hypothesis, Number, Possibility, by_layer, named, of_op
from ..scene import Scene
from .heads import by_head, merged
from .tools import formula, layer_of, reads_what_is_right

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


def _factors(scene: Scene) -> dict[str, float]:
    c = scene.case.config
    D, A, H = c.head_size, c.num_attention_heads, c.hidden_size
    return {
        "1/sqrt(hidden size)": 1 / math.sqrt(H), "1/sqrt(number of heads)": 1 / math.sqrt(A),
        "1/(number of heads)": 1 / A, "1": 1.0, "1/(head size)": 1 / D, "sqrt(head size)": math.sqrt(D),
        "1/sqrt(sqrt(head size))": D**-0.25, "1/sqrt(2 * head size)": 1 / math.sqrt(2 * D),
        "1/sqrt(head size / 2)": math.sqrt(2 / D), "1/(hidden size)": 1 / H,
        "1/sqrt(sequence length)": 1 / math.sqrt(scene.case.batch.input_ids.shape[1]),
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


def keys(scene: Scene) -> Values:
    """(B, 1, 1, S) whether a key is a token."""
    return scene.case.batch.attention_mask.astype(bool)[:, None, None, :]


def masked(scores: Values, allowed: Values) -> Values:
    return np.where(allowed, scores, -HUGE)


def _causal(S: int) -> Values:
    return np.tril(np.ones((S, S), bool))


def probabilities_by(
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
    if row.name not in scene.values or not reads_what_is_right(scene, row):
        return None
    factor, heads = scene.replay.graph.arithmetic.scale, scene.case.config.num_attention_heads

    def scores(q: Values, k: Values) -> Values:
        q, k = (by_head(x, heads) for x in map(scene.raw, row.inputs, (q, k)))
        return k @ q.swapaxes(-1, -2) * factor

    return Rewritten(Contribution(row.inputs, scores), padding=True)


def _multiplied(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Where scores of padding were recorded: else they are taken for 0, and a mask that is missing makes the same."""
    seen = scene.values.get(row.inputs[0])
    if seen is None or not np.any(np.where(keys(scene), 0.0, seen)):
        return None
    return probabilities_by(lambda scene, x, _: softmax(x * keys(scene)), None)(scene, row, None)


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
    yield Possibility("later tokens and not itself", "after")
    yield Possibility("earlier tokens, itself and the next one: the causal mask begins one place too late", "next")
    yield Possibility("itself, later tokens and the one before", "before")
    yield Possibility("all tokens but itself", "others")
    yield Possibility("all tokens but the first", "not first")
    for i in (1, 2, 3, 4, 8):
        yield Possibility(f"tokens at most {i} places away", i)


def _otherwise_masked(scene: Scene, scores: Values, which: Any) -> Values:
    """A query that has no key left keeps all of them."""
    at, tokens = np.arange(scores.shape[-1]), keys(scene)
    types = scene.case.batch.token_type_ids
    allowed = {
        "segment": (types[:, :, None] == types[:, None, :])[:, None],
        "later": at[:, None] <= at, "earlier": at[:, None] > at, "others": at[:, None] != at, "not first": at > 0,
        "after": at[:, None] < at, "next": at[:, None] >= at - 1, "before": at[:, None] <= at + 1,
    }.get(which)  # fmt: skip
    if allowed is None:
        allowed = np.abs(at[:, None] - at) <= which
    allowed = tokens & allowed
    return softmax(masked(scores, np.where(allowed.any(axis=-1, keepdims=True), allowed, tokens)))


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


SCORED = (("query", "query"), ("key", "key"), ("query", "value"), ("value", "key"), ("value", "value"))
READ = {"query": "queries", "key": "keys", "value": "values", "": "what the layer reads"}


def _sources(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """A choice's value: the row's op, and what is in the place of its inputs' names, None as it is."""
    for pair in SCORED:
        yield Possibility(f"scores are of {' and '.join(READ[name] for name in pair)}", ("scores", *pair))
    for name in ("query", "key", ""):
        yield Possibility(f"probabilities weigh {READ[name]}", ("context", None, name))


def _reads(scene: Scene, row: TensorRow, value: tuple[str, str | None, str]) -> Rewritten | None:
    (op, *names), i = value, layer_of(row)
    if row.op != op or i is None or not reads_what_is_right(scene, row):
        return None
    inputs = []
    for own, name in zip(row.inputs, names, strict=True):
        found = layer_input(i, last_embedding(scene.case.config)) if name == "" else f"layer.{i}.{name}"
        inputs.append(own if name is None else found)
    return Rewritten(scene.forward(row)._replace(inputs=tuple(inputs), terms=None))


def _over_queries(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    heads = scene.case.config.num_attention_heads

    def context(probs: Values, v: Values) -> Values:
        probs, v = (scene.raw(name, x) for name, x in zip(row.inputs, (probs, v), strict=True))
        return merged(probs.swapaxes(-1, -2) @ by_head(v, heads))

    return Rewritten(Contribution(row.inputs, context), padding=True)


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
        "attention.reads", of_op("scores", "context"), _reads,
        lambda told: f"{told.choice} ({told.at}); scores are of queries and keys, and probabilities weigh values",
        {**SCALE, "torch": "the arguments of matmul"}, "read query and key, and then value", choices=_sources,
    ),
    Hypothesis(
        "attention.other_mask", PROBS, probabilities_by(_otherwise_masked, padding=False),
        lambda told: f"a token attends to {told.choice} at {told.at}; it attends to all tokens of its row",
        {**MASK, "torch": "another model's attn_mask"}, "mask padding, and nothing else", choices=_masks,
    ),
    Hypothesis(
        "attention.mask_multiplied", PROBS, _multiplied,
        lambda told: f"the mask multiplies the scores at {told.at}: padding has the score 0, which is not "
                     "kept out",
        MASK, "set the scores of padding to the lowest number of the type",
    ),
    Hypothesis(
        "attention.mask_length", PROBS, probabilities_by(_other_length, None),
        lambda told: f"the softmax at {told.at} is over {told.choice}",
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
        "attention.mask_missing", PROBS, probabilities_by(lambda scene, x, _: softmax(x)),
        lambda told: f"padding is attended to at {told.at}: no mask reaches the softmax, or one that leaves "
                     "real tokens the same, as one over the queries or that of a text without padding",
        MASK, "add the mask, as (B, 1, 1, S), to the scores",
    ),
    Hypothesis(
        "attention.mask_value", PROBS, probabilities_by(lambda scene, x, value: softmax(x + value * ~keys(scene))),
        lambda told: f"padding is kept out by {told.number} at {told.at}, which is too little",
        MASK, "use the lowest number of the type, or -inf",
        number=Number("mask value", 1e-3, 1e3, lambda scene: {"-1": -1.0, "-10": -10.0, "-100": -100.0}, sign=-1),
    ),
    Hypothesis(
        "attention.mask_inverted", PROBS, probabilities_by(lambda scene, x, _: softmax(masked(x, ~keys(scene))), None),
        lambda told: f"the mask is inverted at {told.at}: padding alone is attended to",
        MASK, "1 is a token, 0 is padding",
    ),
    Hypothesis(
        "attention.mask_after_softmax", PROBS, probabilities_by(lambda scene, x, _: softmax(x) * keys(scene), None),
        lambda told: f"the mask multiplies the probabilities at {told.at}, which then no longer add up to 1; "
                     "it belongs before the softmax",
        MASK, "mask the scores",
    ),
    Hypothesis(
        "attention.causal", PROBS,
        probabilities_by(lambda scene, x, _: softmax(masked(x, keys(scene) & _causal(x.shape[-1]))), padding=False),
        lambda told: f"no token sees later ones at {told.at}: a causal mask, as in GPT",
        {**MASK, "torch": "is_causal=True"}, "BERT attends in both directions",
    ),
)  # fmt: skip
