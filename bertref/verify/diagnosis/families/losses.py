"""Other losses: of numbers, of several labels, of spans, and sums of losses."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, named, of_op
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


SpanLoss = Callable[[Scene, list[Values], list[Values]], Values]
"""`loss(scene, -log p at every column of each end, (B, S), the columns of each end, (B))`"""


def _spans(loss: SpanLoss, *, masked: bool = True, across: bool = False) -> Make:
    """Of logits on padding, too, unless `masked`; `across`: the logits of a text are taken for (2, S), not (S, 2)."""

    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
        ends = [scene.case.given(name).astype(np.int64) for name in row.arguments]
        real = scene.case.batch.attention_mask.astype(bool)

        def compute(x: Values) -> Values:
            if across:
                x = scene.raw(row.inputs[0], x).reshape(len(x), 2, -1).swapaxes(1, 2)
            if not masked:
                return loss(scene, [-log_softmax(scene.raw(row.inputs[0], x)[:, :, c]) for c in (0, 1)], ends)
            return loss(scene, [-log_softmax(np.where(real, x[:, :, c], -1e30)) for c in (0, 1)], ends)

        return Rewritten(Contribution(row.inputs, compute), padding=across or not masked)

    return make


def _clamped_mean(each: Values, end: Values) -> Values:
    """Where a row's end lies outside, it is taken to be the last column."""
    return each[np.arange(len(end)), np.clip(end, 0, each.shape[1] - 1)].mean()


def _span_mean(each: Values, end: Values) -> Values:
    """A mean over the rows whose end lies inside."""
    inside = (end >= 0) & (end < each.shape[1])
    return each[inside][np.arange(inside.sum()), end[inside]].mean()


def _both(scene: Scene, each: list[Values], ends: list[Values]) -> Values:
    return (_span_mean(each[0], ends[0]) + _span_mean(each[1], ends[1])) / 2


def _over_all(scene: Scene, each: list[Values], ends: list[Values]) -> Values:
    """Sums over the rows whose end lies inside, divided by the number of all."""
    inside = [((end >= 0) & (end < one.shape[1])).mean() for one, end in zip(each, ends, strict=True)]
    return sum(_span_mean(*both) * share for *both, share in zip(each, ends, inside, strict=True)) / 2


def _at_first(scene: Scene, each: list[Values], ends: list[Values]) -> Values:
    return _both(scene, each, [np.where((end < 0) | (end >= each[0].shape[1]), 0, end) for end in ends])


def _without_answers(scene: Scene, row: TensorRow) -> Iterator[tuple[str, SpanLoss]]:
    """Of answers that lie outside of their text; where that text has one token, its loss is 0, and the two are the
    same."""
    all_texts = "divided by the number of all texts, those without an answer as well"
    first = "an answer that lies outside of its text counts as one at its first token"
    ends = [scene.case.given(name) for name in row.arguments]
    lengths = scene.case.batch.attention_mask.sum(axis=1)
    outside = [lengths[(end < 0) | (end >= scene.case.batch.input_ids.shape[1])] for end in ends]
    same = all((one <= 1).all() for one in outside)
    yield f"{all_texts}, or {first}" if same else all_texts, _over_all
    if not same:
        yield first, _at_first


def _moved_end(which: int, by: int) -> SpanLoss:
    """An end that lies inside, so many columns on."""

    def loss(scene: Scene, each: list[Values], ends: list[Values]) -> Values:
        size = each[which].shape[1]
        inside = (ends[which] >= 0) & (ends[which] < size)
        moved = np.where(inside, np.clip(ends[which] + by, 0, size - 1), ends[which])
        return _both(scene, each, [moved if i == which else end for i, end in enumerate(ends)])

    return loss


SPAN_LOSSES: dict[str, SpanLoss] = {
    "both ends are compared with the answer's start": lambda scene, each, ends: _both(scene, each, [ends[0]] * 2),
    "both ends are compared with the answer's end": lambda scene, each, ends: _both(scene, each, [ends[1]] * 2),
    "the end is taken one token before": _moved_end(1, -1),
    "the end is taken one token further on": _moved_end(1, 1),
}  # fmt: skip


def _span_losses(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, of in (*SPAN_LOSSES.items(), *_without_answers(scene, row)):
        yield Possibility(words, _spans(of))
    yield Possibility("padding takes part in the softmax; no answer begins or ends there", _spans(_both, masked=False))
    yield Possibility("logits (S, 2) are taken for (2, S), by a reshape without a transpose",
                      _spans(_both, across=True))  # fmt: skip


BINARY: dict[str, Callable[[Values, Values], Values]] = {
    "only labels that are 1 count: the part of those that are 0 is left out": lambda x, y: (y * binary(x, 1.0)).mean(),
    "only labels that are 0 count: the part of those that are 1 is left out":
        lambda x, y: ((1 - y) * binary(x, 0.0)).mean(),
    "a softmax cross entropy with the first label that is 1":
        lambda x, y: -log_softmax(x)[np.arange(len(x)), y.argmax(axis=-1)].mean(),
}  # fmt: skip


def _binary_losses(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, of in BINARY.items():
        yield Possibility(words, of)


def _of_number(which: int) -> Callable[[Scene, TensorRow, float], Rewritten | None]:
    """One of the losses that are added up, times a number."""

    def make(scene: Scene, row: TensorRow, value: float) -> Rewritten | None:
        return sum_of(row, {row.inputs[which]: value}) if len(row.inputs) > 1 else None

    return make


def _times_a_number(which: int, id: str, words: str) -> Hypothesis:
    return loss(
        id, named("loss.total"), _of_number(which),
        lambda told: f"loss.total has {told.number} times the {words} of the losses that it adds up",
        "add the losses as they are",
        number=Number("weight", 1e-3, 1e3, lambda scene: {"0.15": 0.15, "0.3": 0.3}, own=lambda scene: 1.0),
    )  # fmt: skip


def _one_alone(scene: Scene, row: TensorRow, name: str) -> Rewritten | None:
    """One of two losses, twice."""
    if len(row.inputs) != 2 or name not in row.inputs:
        return None
    return sum_of(row, {other: 2.0 * (other == name) for other in row.inputs})


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
    loss("of_sigmoid", of_op("mean_squared_error"),
         _compared(lambda x, y, _: np.square(_sigmoid(x) - y.reshape(x.shape)).mean()),
         "a sigmoid is taken of the predictions", "compare the predictions as they are"),
    loss("one_sided", of_op("mean_binary_cross_entropy"), _compared(lambda x, y, of: of(x, y)),
         lambda told: f"{told.at}: {told.choice}", "add y * -log(p) and (1 - y) * -log(1 - p)",
         choices=_binary_losses),
    loss("positives_weighted", of_op("mean_binary_cross_entropy"),
         _compared(lambda x, y, value: (binary(x, y) * np.where(y > 0, value, 1.0)).mean()),
         lambda told: f"{told.at}: labels that are 1 count {told.number} times as much, as with pos_weight",
         "leave pos_weight out",
         number=Number("weight", 0.05, 50.0, lambda scene: {"2": 2.0, "3": 3.0, "5": 5.0, "10": 10.0},
                       own=lambda scene: 1.0)),
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
    loss("span", of_op("span_cross_entropy"), lambda scene, row, make: make(scene, row, None),
         lambda told: f"{told.at}: {told.choice}", "the mean of both ends' cross entropies over a text's tokens",
         choices=_span_losses),
    loss("one_end", of_op("span_cross_entropy"), _one_end,
         lambda told: f"{told.at}: only the answer's {told.choice} counts; it is the mean of both",
         "add both, and halve", choices=_ends),
    loss("averaged", named("loss.total"), _averaged, "the mean of the losses; it is their sum", "add the losses"),
    loss("part_weighted", named("loss.total"), _weighted, lambda told: f"loss.total has {told.choice}",
         "add the losses as they are", choices=_weights),
    _times_a_number(0, "first_weighted", "first"), _times_a_number(1, "second_weighted", "second"),
    loss("part_twice", named("loss.total"), _one_alone,
         lambda told: f"loss.total adds {told.choice} twice, and not the other one", "add both losses", choices=_parts),
    loss("part_missing", named("loss.total"), _part_missing,
         lambda told: f"loss.total leaves out {told.choice}", "add the losses", choices=_parts),
)  # fmt: skip
