"""Attention heads: how they are cut out of the channels, and put side by side again."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Possibility, Told, by_layer, of_op
from ..scene import Scene

Values = Any
Split = Callable[[Values, int], Values]
WHERE = {
    "torch": "x.view(B, S, heads, size).transpose(1, 2); context.transpose(1, 2).reshape(B, S, hidden)",
    "JAX": "x.reshape(B, S, heads, size).transpose(0, 2, 1, 3)",
    "NumPy": "x.reshape(B, S, heads, -1).transpose(0, 2, 1, 3)",
    "C": "the index of a channel: head * size + i",
}


def by_head(x: Values, heads: int) -> Values:
    """(B, S, H) -> (B, A, S, D)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def untransposed(x: Values, heads: int) -> Values:
    """The same by a reshape alone, which mixes positions."""
    return x.reshape(x.shape[0], heads, x.shape[1], -1)


def minor(x: Values, heads: int) -> Values:
    """Channel d A + a is head a's d."""
    return x.reshape(*x.shape[:2], -1, heads).transpose(0, 3, 1, 2)


def merged(x: Values) -> Values:
    """(B, A, S, D) -> (B, S, H)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def _merges(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("", "")
    yield Possibility("put side by side again in the same way", "same")


def _split(split: Split, back: Callable[[Values], Values]) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    """All three projections are split so, and put side by side as they should be, or `back` where they came from;
    positions that are mixed need what was recorded on padding, too."""

    def make(scene: Scene, row: TensorRow, way: str | None) -> Rewritten:
        heads, scale = scene.case.config.num_attention_heads, scene.replay.graph.arithmetic.scale
        first, second = row.inputs

        def scores(q: Values, k: Values) -> Values:
            q, k = scene.raw(first, q), scene.raw(second, k)
            return split(q, heads) @ split(k, heads).swapaxes(-1, -2) * scale

        def context(probs: Values, v: Values) -> Values:
            return (back if way else merged)(probs @ split(scene.raw(second, v), heads))

        made = Contribution(row.inputs, scores if row.op == "scores" else context)
        return Rewritten(made, padding=split is untransposed)

    return make


def _with_merge(told: Told) -> str:
    return f"{told.in_layers}{told.choice and ', and '}{told.choice}"


def _slices(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("i times the head size, and end one channel too early", "short")
    yield Possibility("i times the head size, and end one channel too late", "long")
    yield Possibility("i times the head size plus 1", "shifted")
    yield Possibility("i times the number of heads", "heads")
    yield Possibility("i", "one")


def _channels(scene: Scene, way: str) -> tuple[Values, Values]:
    """(A, D) the channels of each head, and which of these there are."""
    A, D = scene.case.config.num_attention_heads, scene.case.config.head_size
    step, first = {"heads": A, "one": 1}.get(way, D), 1 if way == "shifted" else 0
    size = D - 1 if way == "short" else D + 1 if way == "long" else D
    at = first + step * np.arange(A)[:, None] + np.arange(size)
    return np.minimum(at, A * D - 1), at < A * D


def _sliced(scene: Scene, row: TensorRow, way: str) -> Rewritten | None:
    """Where heads overlap, the later one's context stands; where there is none, 0."""
    (at, inside), scale = _channels(scene, way), scene.replay.graph.arithmetic.scale
    if not inside.any(axis=-1).all():
        return None

    def cut(x: Values) -> Values:
        return (x[..., at] * inside).transpose(0, 2, 1, 3)

    def context(probs: Values, v: Values) -> Values:
        writer, written = np.zeros(v.shape[-1], np.int64), np.zeros(v.shape[-1])
        writer[at[inside]], written[at[inside]] = np.flatnonzero(inside), 1
        return merged(probs @ cut(v))[..., writer] * written

    def scores(q: Values, k: Values) -> Values:
        return cut(q) @ cut(k).swapaxes(-1, -2) * scale

    return Rewritten(Contribution(row.inputs, scores if row.op == "scores" else context))


def _merge(merge: Callable[[Values], Values]) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
        heads = scene.case.config.num_attention_heads

        def context(probs: Values, v: Values) -> Values:
            probs, v = (scene.raw(name, x) for name, x in zip(row.inputs, (probs, v), strict=True))
            return merge(probs @ by_head(v, heads))

        return Rewritten(Contribution(row.inputs, context), padding=True)

    return make


def _orders(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("in reverse order", "reversed")
    yield Possibility("each one place further on, the last one first", "on")
    yield Possibility("each one place back, the first one last", "back")
    yield Possibility("without the last one, whose channels are 0", "lost")
    yield Possibility("the first one in the place of each", "first")


def _ordered(scene: Scene, row: TensorRow, order: str) -> Rewritten:
    heads = np.arange(scene.case.config.num_attention_heads)
    at = {"reversed": heads[::-1], "on": np.roll(heads, 1), "back": np.roll(heads, -1), "first": 0 * heads}
    kept = np.where((heads == heads[-1]) & (order == "lost"), 0.0, 1.0)[:, None, None]

    def context(probs: Values, v: Values) -> Values:
        made = probs @ by_head(v, len(heads))
        return merged((made * kept)[:, at.get(order, heads)])

    return Rewritten(Contribution(row.inputs, context))


def _side_by_side(x: Values) -> Values:
    B, A, S, D = x.shape
    return x.reshape(B, S, A * D)


def _merged_minor(x: Values) -> Values:
    B, A, S, D = x.shape
    return x.transpose(0, 2, 3, 1).reshape(B, S, A * D)


HYPOTHESES = (
    Hypothesis(
        "heads.split_order", of_op("scores", "context"), _split(untransposed, _side_by_side),
        lambda told: "heads are cut out of the channels by a reshape without a transpose, which mixes positions, "
                     f"{_with_merge(told)}",
        WHERE, "reshape to (B, S, heads, size), then exchange the two axes in the middle", together=by_layer,
        choices=_merges,
    ),
    Hypothesis(
        "heads.minor", of_op("scores", "context"), _split(minor, _merged_minor),
        lambda told: f"heads are cut out of every n-th channel {_with_merge(told)}; a head's channels are neighbours",
        WHERE, "reshape to (B, S, heads, size), not (B, S, size, heads)", together=by_layer, choices=_merges,
    ),
    Hypothesis(
        "heads.slices", of_op("scores", "context"), _sliced,
        lambda told: f"the channels of head i, counted from 0, begin at {told.choice} ({told.in_layers}); they begin "
                     "at i times the head size, and are as many as a head has",
        {**WHERE, "NumPy": "x[..., i * size : (i + 1) * size]"}, "give head i the channels from i times the head size",
        choices=_slices, together=by_layer,
    ),
    Hypothesis(
        "heads.merge_order", of_op("context"), _merge(_side_by_side),
        lambda told: f"heads are put side by side by a reshape without a transpose ({told.at}), which mixes positions",
        WHERE, "exchange the heads' and the positions' axes, then reshape",
    ),
    Hypothesis(
        "heads.merge_minor", of_op("context"), _merge(_merged_minor),
        lambda told: f"channels of the heads take turns in the context ({told.at}); a head's channels are neighbours",
        WHERE, "bring the axes to (B, S, heads, size), then reshape",
    ),
    Hypothesis(
        "heads.order", of_op("context"), _ordered,
        lambda told: f"heads are put side by side {told.choice} ({told.at})",
        {**WHERE, "C": "the loop over heads: its bounds, and where each head's channels start"},
        "put head i's channels at i times the head size", choices=_orders,
    ),
)  # fmt: skip
