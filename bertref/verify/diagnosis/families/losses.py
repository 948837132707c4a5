"""Other losses: of numbers, of several labels, of spans, and sums of losses."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Possibility, named, of_op
from ..scene import Scene
from .cross_entropies import Make, binary, log_softmax, loss, of_terms
from .tools import formula, sum_of

Values = Any
SUMMED = of_op(
    "weighted_cross_entropy", "mean_cross_entropy", "mean_squared_error", "mean_binary_cross_entropy",
    "span_cross_entropy",
)  # fmt: skip


def _targets(scene: Scene, row: TensorRow) -> Values:
    return scene.case.given(row.arguments[0]).astype(np.float64)


def _compared(loss: Callable[[Values, Values, Any], Values]) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    """`loss(x, targets, choice)`"""
    return lambda scene, row, value: formula(row, lambda x: loss(x, _targets(scene, row), value))


def _sigmoid(x: Values) -> Values:
    return 0.5 * (1 + np.tanh(x / 2))


def _broadcast(x: Values, y: Values, _: Any) -> Values:
    """Predictions in a row, targets in a column, or the other way round."""
    return np.square(x.reshape(1, -1) - y.reshape(-1, 1)).mean()


def _spans(loss: Callable[[Scene, list[Values], list[Values]], Values]) -> Make:
    """`loss(scene, -log p at every column of each end, (B, S), the columns of each end, (B))`"""

    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
        ends = [scene.case.given(name).astype(np.int64) for name in row.arguments]
        real = scene.case.batch.attention_mask.astype(bool)

        def compute(x: Values) -> Values:
            return loss(scene, [-log_softmax(np.where(real, x[:, :, c], -1e30)) for c in (0, 1)], ends)

        return formula(row, compute)

    return make


def _clamped_mean(each: Values, end: Values) -> Values:
    """Where a row's end lies outside, it is taken to be the last column."""
    return each[np.arange(len(end)), np.clip(end, 0, each.shape[1] - 1)].mean()


def _span_mean(each: Values, end: Values) -> Values:
    """A mean over the rows whose end lies inside."""
    inside = (end >= 0) & (end < each.shape[1])
    return each[inside][np.arange(inside.sum()), end[inside]].mean()


def _part_missing(scene: Scene, row: TensorRow, name: str) -> Rewritten | None:
    if len(row.inputs) < 2 or name not in row.inputs:
        return None
    return formula(row, lambda *parts: sum(part for one, part in zip(row.inputs, parts, strict=True) if one != name))


def _parts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for name in row.inputs:
        yield Possibility(name, name)


TIMES = {"1/2": 0.5, "1/10": 0.1, "2": 2.0, "10": 10.0, "-1": -1.0}
"""What a loss may be multiplied by in the sum of losses."""


def _weights(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for name in row.inputs:
        for words, factor in TIMES.items():
            yield Possibility(f"{words} times {name}", (name, factor))


def _weighted(scene: Scene, row: TensorRow, value: tuple[str, float]) -> Rewritten | None:
    which, factor = value
    if len(row.inputs) < 2 or which not in row.inputs:
        return None
    return sum_of(row, {which: factor})


def _averaged(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    n = len(row.inputs)
    return None if n < 2 else formula(row, lambda *parts: sum(parts) / n)


def _sums(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("over the two ends" if row.op == "span_cross_entropy" else "over everything", "all")
    if row.op == "mean_binary_cross_entropy":
        yield Possibility("over the labels of a text", "labels")


def _summed(scene: Scene, row: TensorRow, over: str) -> Rewritten:
    """The terms of a mean, added up."""
    if row.op == "mean_binary_cross_entropy":
        return _compared(lambda x, y, _: binary(x, y).sum() / (1 if over == "all" else len(x)))(scene, row, None)
    if row.op == "span_cross_entropy":
        made = scene.forward(row)
        return Rewritten(Contribution(row.inputs, lambda x: 2 * made.compute(x)))
    if row.op == "mean_squared_error":
        return _compared(lambda x, y, _: np.square(x - y.reshape(x.shape)).sum())(scene, row, None)
    return of_terms(lambda scene, each, weights, _: (each * weights).sum())(scene, row, None)


def _errors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("halves of squared errors", lambda d: np.square(d).mean() / 2)
    yield Possibility("the root of the mean squared error", lambda d: np.sqrt(np.square(d).mean()))
    yield Possibility("Huber's loss (SmoothL1Loss)", _huber)


def _huber(d: Values) -> Values:
    return np.where(np.abs(d) < 1, 0.5 * np.square(d), np.abs(d) - 0.5).mean()


def _ends(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("start", 0)
    yield Possibility("end", 1)


def _one_end(scene: Scene, row: TensorRow, which: int) -> Rewritten | None:
    return _spans(lambda scene, each, ends: _span_mean(each[which], ends[which]))(scene, row, None)


HYPOTHESES = (
    loss("summed", SUMMED, _summed, lambda told: f"{told.at}: a sum {told.choice}, where a mean belongs",
         "divide by the number of terms", choices=_sums),
    loss("absolute_error", of_op("mean_squared_error"),
         _compared(lambda x, y, _: np.abs(x - y.reshape(x.shape)).mean()),
         "absolute errors, where squared ones belong", "square the differences"),
    loss("other_error", of_op("mean_squared_error"), _compared(lambda x, y, of: of(x - y.reshape(x.shape))),
         lambda told: f"{told.at}: {told.choice}, where the mean squared error belongs",
         "square the differences, and take their mean", choices=_errors),
    loss("broadcast", of_op("mean_squared_error"), _compared(_broadcast),
         "every prediction is compared with every target: (N, 1) against (N)", "bring both to the same shape"),
    loss("sigmoid_twice", of_op("mean_binary_cross_entropy"),
         _compared(lambda x, y, _: binary(_sigmoid(x), y).mean()),
         "probabilities are given where logits belong, so that there are two sigmoids", "give the logits"),
    loss("softmax_for_sigmoid", of_op("mean_binary_cross_entropy"),
         _compared(lambda x, y, _: -(y * log_softmax(x)).sum() / len(x)),
         "a softmax cross entropy; the labels do not exclude each other", "use the binary cross entropy"),
    loss("ends_swapped", of_op("span_cross_entropy"),
         _spans(lambda scene, each, ends: (_span_mean(each[1], ends[0]) + _span_mean(each[0], ends[1])) / 2),
         "start and end of the answer are exchanged", "the first column is the start"),
    loss("clamped", of_op("span_cross_entropy"),
         _spans(lambda scene, each, ends: sum(map(_clamped_mean, each, ends)) / 2),
         "an answer that lies outside of the text counts as one at its last token", "ignore such answers"),
    loss("one_end", of_op("span_cross_entropy"), _one_end,
         lambda told: f"{told.at}: only the answer's {told.choice} counts; it is the mean of both",
         "add both, and halve", choices=_ends),
    loss("averaged", named("loss.total"), _averaged, "the mean of the losses; it is their sum", "add the losses"),
    loss("part_weighted", named("loss.total"), _weighted, lambda told: f"loss.total has {told.choice}",
         "add the losses as they are", choices=_weights),
    loss("part_missing", named("loss.total"), _part_missing,
         lambda told: f"loss.total leaves out {told.choice}", "add the losses", choices=_parts),
)  # fmt: skip
