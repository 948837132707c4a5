"""What cross entropies are divided by, and means of means."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.steps import Rewritten
from ..hypothesis import Possibility, Told
from ..scene import BACK, Back, Scene
from .cross_entropies import CLASS_LOSS, ENTROPIES, WORD_LOSS, WORDS, Make, labels_of, loss, of_terms
from .tools import inputs_times, is_way_back

Values = Any


def _texts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("", False)
    yield Possibility(", one without a prediction counted as 0", True)


def _of_rows(scene: Scene, row: TensorRow, empty: bool) -> Rewritten | None:
    """One term a row is the same mean."""

    def means(scene: Scene, each: Values, weights: Values, _: Any) -> Values:
        each, weights = each.reshape(len(each), -1), weights.reshape(len(each), -1)
        counts = weights.sum(axis=1)
        found = (each * weights).sum(axis=1) / np.maximum(counts, 1e-300)
        return (found if empty else found[counts > 0]).mean()

    return of_terms(means)(scene, row, None) if labels_of(scene, row)[0].ndim > 1 else None


def _groups(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    texts = scene.case.batch.input_ids.shape[0]
    halves = (("two halves of the batch", 0), ("two halves of the batch, of which the first is smaller", -1))
    for words, number in (*halves[: 1 + texts % 2], *((f"{n} texts each", n) for n in (2, 3, 4) if n < texts)):
        yield Possibility(words, (number, False))
        yield Possibility(f"{words}, one without a prediction counted as 0", (number, True))


def _in_groups(scene: Scene, row: TensorRow, value: tuple[int, bool]) -> Rewritten | None:
    """The mean of the means of so many rows each, the last of fewer; 0, -1: of two halves, the middle row in the first
    or in the second. Whether a group of which nothing counts has the mean 0, or none."""
    (number, empty), labels = value, labels_of(scene, row)[0]
    n = len(labels)
    starts = list(range(0, n, number)) if number > 0 else [0, n // 2 if number else -(-n // 2)]

    def loss(scene: Scene, each: Values, weights: Values, _: Any) -> Values:
        means = [
            (each[i:j] * weights[i:j]).sum() / max(weights[i:j].sum(), 1e-300)
            for i, j in zip(starts, (*starts[1:], n), strict=True) if empty or weights[i:j].any()
        ]  # fmt: skip
        return sum(means) / max(len(means), 1)

    return of_terms(loss)(scene, row, None) if starts[-1] not in (0, n) else None


def _divided_by(number: str) -> Make:
    def over(scene: Scene, each: Values, weights: Values, _: Any) -> Values:
        B, S = scene.case.batch.input_ids.shape
        tokens = float(scene.case.batch.attention_mask.sum())
        return (each * weights).sum() / {"slots": weights.size, "rows": B, "positions": B * S, "tokens": tokens}[number]

    return of_terms(over)


def _others(scene: Scene, row: TensorRow) -> dict[str, float]:
    """What a mean may be divided by besides the number of its terms, by its words."""
    labels, weights = labels_of(scene, row)
    classes, (B, S) = scene.replay.graph.axes(row.inputs[0]).shape[-1], scene.case.batch.input_ids.shape
    if row.op == CLASS_LOSS:
        words = float(scene.case.batch.masked_lm_weights.sum(dtype=np.float64))
        over = {"the number of labels times that of classes, as of a mean over one-hot labels": weights.sum() * classes,
                "the number of predicted words": words if "loss.mlm" in scene.rows else 0.0,
                "the number of all labels, ignored ones as well": labels.size,
                "the number of tokens": float(scene.case.batch.attention_mask.sum())}  # fmt: skip
    else:
        over = {
            "the number of labels times that of classes, as of a mean over one-hot labels": weights.sum() * classes,
            "the number of slots of one text": labels.shape[-1], "the number of positions of one text": S,
            "the number of texts less 1": B - 1, "the number of predictions and 1": weights.sum() + 1,
            "the number of predictions less 1": weights.sum() - 1,
            "the number of texts that have a prediction": weights.reshape(B, -1).any(axis=1).sum(),
            "the size of the vocabulary": classes, "the hidden size": scene.case.config.hidden_size,
        }  # fmt: skip
    return {words: float(number) for words, number in over.items() if 0 < number != weights.sum()}


def _over(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """Those that are the same number here can't be told apart, and are named together."""
    found = _others(scene, row)
    for words, number in found.items():
        same = [other for other, at in found.items() if at == number and other != words]
        yield Possibility(" or ".join([words, *same]), words)


def _divided_by_other(scene: Scene, row: TensorRow, words: str) -> Rewritten | None:
    number = _others(scene, row).get(words)
    if number is None:
        return None
    return of_terms(lambda scene, each, weights, _: (each * weights).sum() / number)(scene, row, None)


BELOW = (0.0, 1e-12, 1e-8, 1e-6, 1e-5)


def _added(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for number in BELOW:
        if number != scene.case.numerics.mlm_denominator_epsilon:
            yield Possibility(f"{number:.0e}" if number else "nothing", number)


def _back(told: Told) -> str:
    return " on the way back" if all(name.startswith(BACK) for name in told.names) else ""


def _with_epsilon(scene: Scene, row: TensorRow, number: float) -> Rewritten | Back:
    """The loss, or its way back, with another number in the denominator."""
    count = float(np.sum(scene.case.batch.masked_lm_weights, dtype=np.float64))
    factor = (count + scene.case.numerics.mlm_denominator_epsilon) / ((count + number) or 1.0)
    if is_way_back(row):
        return inputs_times(scene, row, {0: factor})
    part = scene.forward(row)
    return Rewritten(part._replace(compute=lambda *inputs: factor * part.compute(*inputs), terms=None))


HYPOTHESES = (
    loss("row_means", ENTROPIES, _of_rows,
         lambda told: f"{told.at}: a mean of the rows' means{told.choice}; it is a mean over all predictions",
         "divide once, by the number of predictions", choices=_texts),
    loss("group_means", ENTROPIES, _in_groups,
         lambda told: f"{told.at}: a mean of the means of {told.choice}, as of gradients that are accumulated; it is a "
                      "mean over all predictions",
         "divide the sum over all parts by the number of predictions in all of them", choices=_groups),
    loss("denominator", ENTROPIES, _divided_by_other,
         lambda told: f"{told.at}: divided by {told.choice}; it is divided by the number of labels that count",
         "divide by the number of labels that count, or by the sum of their weights", choices=_over),
    loss("denominator_slots", WORDS, _divided_by("slots"),
         "divided by all slots of predictions, used or not; it is divided by the number of those that are used",
         "divide by the sum of the weights"),
    loss("denominator_positions", WORDS, _divided_by("positions"),
         "divided by all positions, padding as well; it is divided by the number of predictions",
         "divide by the sum of the weights"),
    loss("denominator_tokens", WORDS, _divided_by("tokens"),
         "divided by the number of all tokens; it is divided by the number of predictions",
         "divide by the sum of the weights"),
    loss("denominator_rows", WORDS, _divided_by("rows"),
         "divided by the number of texts; it is divided by the number of predictions",
         "divide by the sum of the weights"),
    loss("denominator_epsilon", lambda row: row.op in (WORD_LOSS, f"{WORD_LOSS} {BACK}"), _with_epsilon,
         lambda told: f"{told.choice} is added to the number of predictions, which divides the loss{_back(told)}; the "
                      f"reference adds {told.scene.case.numerics.mlm_denominator_epsilon:g}",
         "set mlm_denominator_epsilon, or leave the number out", choices=_added),
)  # fmt: skip
