"""The way back of cross entropies whose forward pass is right, or wrong by itself: what is made of the probabilities,
and what it is divided by."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ..hypothesis import Hypothesis, Possibility, of_op
from ..scene import BACK, Back, Scene
from .cross_entropies import CLASS_LOSS, LOG_SOFTMAXES, WORD_LOSS, labels_of, log_softmax
from .tools import BACKWARD, inputs_times

Values = Any
ENTROPIES_BACK = of_op(f"{WORD_LOSS} {BACK}", f"{CLASS_LOSS} {BACK}")
WHERE = {
    **BACKWARD,
    "NumPy": "d = np.exp(logs); d[rows, labels] -= 1; d *= weights[:, None] / weights.sum()",
    "C": "the backward loop of the loss",
}  # fmt: skip

Slope = Callable[[Values, Values, Values], Values]
"""Of logits (N, C), 1 at the labels (N, C) and the labels (N): the gradient of -log p, (N, C)."""


def _p(x: Values) -> Values:
    return np.exp(log_softmax(x))


def _of_logs(logs: Callable[[Values], Values]) -> Slope:
    return lambda x, hot, labels: np.exp(logs(x)) - hot


SLOPES: dict[str, Slope] = {
    "p, and 1 is added at the label; it is taken off": lambda x, hot, labels: _p(x) + hot,
    "p alone; 1 is taken off at the label": lambda x, hot, labels: _p(x),
    "p, with -1 in its place at the label; 1 is taken off there": lambda x, hot, labels: _p(x) * (1 - hot) - hot,
    "p, with 1 taken off in the columns of all labels of the batch; it is in that of a row's own":
        lambda x, hot, labels: _p(x) - np.isin(np.arange(x.shape[-1]), labels),
    "p - 1 at the label, and 0 elsewhere; it is p there": lambda x, hot, labels: (_p(x) - 1) * hot,
    "log p, less 1 at the label; it is made of p": lambda x, hot, labels: log_softmax(x) - hot,
    "the logits, less 1 at the label; it is made of p": lambda x, hot, labels: x - hot,
    "1 at the label less p; it is the opposite": lambda x, hot, labels: hot - _p(x),
    **{f"p, less 1 at the label, of probabilities whose logarithms have {words}": _of_logs(logs)
       for words, logs in LOG_SOFTMAXES.items()},
}  # fmt: skip


def _slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, slope in SLOPES.items():
        yield Possibility(words, slope)


def _by_slope(scene: Scene, row: TensorRow, slope: Slope) -> Back:
    """The gradient of each term, times the share that the term has of the loss. Unused slots' logits are read."""
    right, (labels, weights) = scene.backward(row)[0], (one.reshape(-1) for one in labels_of(scene, row))
    epsilon = scene.case.numerics.mlm_denominator_epsilon if len(row.arguments) > 1 else 0.0
    shares = weights / ((weights.sum() + epsilon) or 1.0)

    def back(d: Values, x: Values) -> Values:
        given = scene.raw(row.inputs[0], x).reshape(len(labels), -1)
        hot = np.equal(np.arange(given.shape[-1]), labels[:, None]).astype(np.float64)  # np.eye(V) is V times as large
        made = slope(given, hot, labels) * shares[:, None]
        return d * np.where(shares[:, None] > 0, made, 0.0).reshape(x.shape)

    return Back((right._replace(inputs=(f"grad:{scene.made_by(row)}", row.inputs[0]), compute=back, terms=None),))


def _divisors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("isn't divided by the number of terms, as the loss is", "none")
    yield Possibility("is divided by the number of terms twice", "twice")
    if len(row.arguments) > 1:
        yield Possibility("is divided by the number of all slots of predictions, used or not", "slots")
        yield Possibility("is divided by the number of texts", "texts")
        yield Possibility("is divided by the number of all tokens", "tokens")
        yield Possibility("is divided by the number of all positions, padding as well", "positions")


def _divided(scene: Scene, row: TensorRow, by: str) -> Back:
    labels, weights = labels_of(scene, row)
    number, mask = float(weights.sum()), scene.case.batch.attention_mask
    other = {
        "none": 1.0, "twice": number * number, "slots": labels.size, "texts": len(mask), "tokens": float(mask.sum()),
        "positions": mask.size,
    }[by]  # fmt: skip
    return inputs_times(scene, row, {0: number / (other or 1.0)})


HYPOTHESES = (
    Hypothesis(
        "backward.cross_entropy", ENTROPIES_BACK, _by_slope,
        lambda told: f"the gradient of the logits at {told.at.replace(f'{BACK} ', '')} is {told.choice}",
        WHERE, "p[label] -= 1", choices=_slopes,
    ),
    Hypothesis(
        "backward.not_averaged", ENTROPIES_BACK, _divided,
        lambda told: f"the way back of {told.at.replace(f'{BACK} ', '')}: the gradient {told.choice}",
        WHERE, "divide the gradient by what the loss is divided by", choices=_divisors,
    ),
)  # fmt: skip
