"""Cross entropies: labels, weights, logarithms, and what is taken for logits."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, Told, of_op
from ..scene import Made, Scene
from .tools import formula

Values = Any
LOG_2, LOG_10 = math.log(2), math.log(10)
Make = Callable[[Scene, TensorRow, Any], Rewritten | None]
WHERE = {
    "torch": "F.cross_entropy(logits, labels, reduction=..., ignore_index=...)",
    "JAX": "optax.softmax_cross_entropy_with_integer_labels(logits, labels), and the mean of it",
    "NumPy": "-(log_softmax(logits)[rows, labels] * weights).sum() / weights.sum()",
    "C": "the loop that adds up -log p, and what it is divided by",
}
WORD_LOSS, CLASS_LOSS = "weighted_cross_entropy", "mean_cross_entropy"
WORDS, CLASSES, ENTROPIES = of_op(WORD_LOSS), of_op(CLASS_LOSS), of_op(WORD_LOSS, CLASS_LOSS)


def log_softmax(x: Values) -> Values:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _less(total: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """Logits less their largest, less `total` of the exponentials of that."""

    def logs(x: Values) -> Values:
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - total(np.exp(shifted))

    return logs


LOG_SOFTMAXES: dict[str, Callable[[Values], Values]] = {
    "log2 of the sum of exponentials in the place of the natural logarithm":
        _less(lambda e: np.log(e.sum(axis=-1, keepdims=True)) / LOG_2),
    "log10 of the sum of exponentials in the place of the natural logarithm":
        _less(lambda e: np.log(e.sum(axis=-1, keepdims=True)) / LOG_10),
    "the sum of exponentials over all rows, each class by itself, in the place of that over classes":
        _less(lambda e: np.log(e.sum(axis=0, keepdims=True))),
    "the sum of exponentials over everything in the place of that over classes":
        _less(lambda e: np.log(e.sum())),
    "the mean of exponentials in the place of their sum":
        _less(lambda e: np.log(e.mean(axis=-1, keepdims=True))),
    "the sum of exponentials in the place of its logarithm": _less(lambda e: e.sum(axis=-1, keepdims=True)),
    "the largest logit in the place of the logarithm of the sum of exponentials": _less(lambda e: 0.0 * e),
}  # fmt: skip
"""Of logits (N, C): what is taken for the logarithms of their softmax, by what a sentence says that these have."""


def _logs(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, logs in LOG_SOFTMAXES.items():
        yield Possibility(words, logs)


def _of_logs(scene: Scene, row: TensorRow, logs: Callable[[Values], Values]) -> Rewritten:
    """The mean of the logarithms at the labels; of unused slots' logits, too."""
    labels, weights = (one.reshape(-1) for one in labels_of(scene, row))

    def compute(x: Values) -> Values:
        found = logs(scene.raw(row.inputs[0], x).reshape(len(labels), -1))[np.arange(len(labels)), labels]
        return -(np.where(weights > 0, found, 0.0) * weights).sum() / (weights.sum() or 1.0)

    return Rewritten(Contribution(row.inputs, compute), slots=True)


def labels_of(scene: Scene, row: TensorRow) -> tuple[Values, Values]:
    """Labels and weights, of the shape of the labels; what is ignored has the label 0 and the weight 0."""
    labels = scene.case.given(row.arguments[0]).astype(np.int64)
    weights = (labels >= 0).astype(np.float64)
    if len(row.arguments) > 1:
        weights = scene.case.given(row.arguments[1]).astype(np.float64)
    return np.maximum(labels, 0), weights


def surprisals(x: Values, labels: Values) -> Values:
    """-log p of the label, (...), of logits (..., C)."""
    return -np.take_along_axis(log_softmax(x), labels[..., None], axis=-1)[..., 0]


def in_shape(x: Values, labels: Values) -> Values:
    """Logits (N, C) or (..., C) in the shape of their labels."""
    return x.reshape(*labels.shape, x.shape[-1])


def _brier(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    labels, weights = labels_of(scene, row)

    def compute(x: Values) -> Values:
        p = np.exp(log_softmax(in_shape(x, labels)))
        each = np.square(p - np.eye(p.shape[-1])[labels]).mean(axis=-1)
        return (each * weights).sum() / (weights.sum() or 1.0)

    return formula(row, compute)


Terms = Callable[[Scene, Values, Values, Any], Values]
"""A loss of a scene, -log p and weights, both in the shape of the labels, and a choice."""


def of_terms(loss: Terms) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    def make(scene: Scene, row: TensorRow, value: Any) -> Rewritten:
        labels, weights = labels_of(scene, row)
        return formula(row, lambda x: loss(scene, surprisals(in_shape(x, labels), labels), weights, value))

    return make


def _pairs(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the mean", "mean")
    yield Possibility("the sum", "sum")


def _of_pairs(scene: Scene, row: TensorRow, how: str) -> Rewritten:
    """-log p of every label in every row, (N, N), times the labels' weights; of unused slots' rows, too."""
    labels, weights = (one.reshape(-1) for one in labels_of(scene, row))

    def compute(x: Values) -> Values:
        each = -log_softmax(scene.raw(row.inputs[0], x).reshape(len(labels), -1))[:, labels]
        return (each * weights).sum() / ((weights.sum() or 1.0) * (len(labels) if how == "mean" else 1.0))

    return Rewritten(Contribution(row.inputs, compute), slots=True)


def _bases(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("2", 2)
    yield Possibility("10", 10)


def _to_base(scene: Scene, row: TensorRow, base: int) -> Rewritten:
    part = scene.forward(row)
    return Rewritten(part._replace(compute=lambda *inputs: part.compute(*inputs) / float(np.log(base)), terms=None))


def _with_log_epsilon(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    def loss(scene: Scene, each: Values, weights: Values, _: Any) -> Values:
        return -(np.log(np.exp(-each) + value) * weights).sum() / (weights.sum() or 1.0)

    return of_terms(loss)(scene, row, None)


def _moves(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("have ids that are 1 less than the batch's", ("ids", -1))
    yield Possibility("have ids that are 1 more than the batch's", ("ids", 1))
    if row.op == CLASS_LOSS:
        yield Possibility("are those of the next token, as where the next token is predicted", ("shifted", -1))
        yield Possibility("are those of the token before", ("shifted", 1))
    else:
        yield Possibility("are those of the next prediction, as where the next token is predicted", ("slots", -1))
        yield Possibility("are those of the prediction before", ("slots", 1))
        yield Possibility("are the ids that the model reads at their positions", ("read", 0))
        yield Possibility("are the positions of the predictions", ("positions", 0))
        yield Possibility("are the positions of the predictions, counted through all tokens without padding",
                          ("packed", 0))  # fmt: skip


def _moved(scene: Scene, row: TensorRow, value: tuple[str, int]) -> Rewritten | None:
    (what, by), batch, (right, weights) = value, scene.case.batch, labels_of(scene, row)
    classes = scene.replay.graph.axes(row.inputs[0]).shape[-1]
    if what == "ids":
        labels = (right + by) % classes
    elif what == "shifted" and right.ndim > 1:
        labels, weights = np.roll(right, by, axis=-1), np.roll(weights, by, axis=-1)
        weights[:, by if by < 0 else 0] = 0
    elif what == "shifted":
        return None
    elif what == "slots":
        labels = np.roll(right, by, axis=-1)
    elif what == "read":
        labels = np.take_along_axis(batch.input_ids, batch.masked_lm_positions, axis=1)
    else:
        lengths = batch.attention_mask.sum(axis=1) * (what == "packed")
        labels = batch.masked_lm_positions + (np.cumsum(lengths) - lengths)[:, None]
    if (classes == 2 and what == "ids") or labels.max(initial=0) >= classes:
        return None
    return _other_labels(lambda *_: (labels.astype(np.int64), weights))(scene, row, None)


def _other_terms(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """The mean of other terms, of -log p and the logarithm of the sum of exponentials, or a function of the mean."""
    yield Possibility("-p, the probability itself, as of a softmax that is given where its logarithm belongs",
                      lambda each, total, mean: mean(-np.exp(-each)))  # fmt: skip
    yield Possibility("1 - p", lambda each, total, mean: mean(1 - np.exp(-each)))
    yield Possibility("the negative logarithm's opposite, log p", lambda each, total, mean: -mean(each))
    yield Possibility("1 - exp of minus the mean", lambda each, total, mean: 1 - np.exp(-mean(each)))
    yield Possibility("exp of the mean, the perplexity", lambda each, total, mean: np.exp(mean(each)))
    yield Possibility("the focal loss, (1 - p)^2 times -log p",
                      lambda each, total, mean: mean((1 - np.exp(-each)) ** 2 * each))  # fmt: skip
    yield Possibility("-log p and 0.0001 times the square of the logits' logsumexp, a z-loss",
                      lambda each, total, mean: mean(each + 1e-4 * total**2))  # fmt: skip
    yield Possibility("minus the logit of the label, without a softmax",
                      lambda each, total, mean: mean(each - total))  # fmt: skip


def _of_other_terms(scene: Scene, row: TensorRow, loss: Callable[[Values, Values, Any], Values]) -> Rewritten:
    labels, weights = labels_of(scene, row)

    def compute(x: Values) -> Values:
        x = in_shape(x, labels)
        top = x.max(axis=-1)
        total = top + np.log(np.exp(x - top[..., None]).sum(axis=-1))
        return loss(surprisals(x, labels), total, lambda each: (each * weights).sum() / (weights.sum() or 1.0))

    return formula(row, compute)


def _smoothed(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    labels, weights = labels_of(scene, row)

    def loss(x: Values) -> Values:
        logs = log_softmax(in_shape(x, labels))
        right = np.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]
        return -(((1 - value) * right + value * logs.mean(axis=-1)) * weights).sum() / (weights.sum() or 1.0)

    return formula(row, loss)


def _other_labels(
    change: Callable[[Values, Values, int, Any], tuple[Values, Values]], *, all_count: bool = False
) -> Make:
    """`change(labels, weights, number of classes, choice)` -> labels and weights. Labels on padding, and of unused
    slots, may count then; if `all_count`, these have a gradient."""

    def make(scene: Scene, row: TensorRow, value: Any) -> Rewritten:
        def loss(x: Values) -> Values:
            labels, weights = labels_of(scene, row)
            given = in_shape(scene.raw(row.inputs[0], x), labels)
            labels, weights = change(labels, weights, x.shape[-1], value)
            terms = np.where(weights > 0, surprisals(given, labels) * weights, 0.0)
            return terms.sum() / (weights.sum() or 1.0)

        return Rewritten(Contribution(row.inputs, loss), padding=all_count and row.op == CLASS_LOSS, slots=all_count)

    return make


def _inverted(labels: Values, weights: Values, classes: int, _: Any) -> tuple[Values, Values]:
    return (1 - labels if classes == 2 else labels), weights


def _ignoring(labels: Values, weights: Values, classes: int, label: int) -> tuple[Values, Values]:
    return labels, weights * (labels != label)


def _ignored_labels(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for label in (0, 1):
        yield Possibility(str(label), label)


def _softmax_twice(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    labels, weights = labels_of(scene, row)
    return formula(row, lambda x: (surprisals(np.exp(log_softmax(in_shape(x, labels))), labels) * weights).sum()
                   / (weights.sum() or 1.0))  # fmt: skip


def _across(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Choices that lie one after the other are taken to lie side by side."""
    if scene.case.objective != "multiple_choice":
        return None
    labels, _weights = labels_of(scene, row)
    return formula(row, lambda x: surprisals(x.reshape(x.shape[1], x.shape[0]).T, labels).mean())


def _classes_across(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Logits (S, C) of each text are taken for (C, S), those on padding as well."""
    labels, weights = labels_of(scene, row)
    if labels.ndim < 2:
        return None

    def compute(x: Values) -> Values:
        x = in_shape(scene.raw(row.inputs[0], x), labels)
        turned = x.reshape(len(labels), x.shape[-1], -1).swapaxes(1, 2)
        return (surprisals(turned, labels) * weights).sum() / (weights.sum() or 1.0)

    return Rewritten(Contribution(row.inputs, compute), padding=True)


def _by_class(scene: Scene, row: TensorRow, value: float) -> Rewritten | None:
    """Labels 1 with a weight, of two classes."""
    if scene.replay.graph.axes(row.inputs[0]).shape[-1] != 2:
        return None
    factors = np.where(labels_of(scene, row)[0] == 1, value, 1.0)
    return of_terms(
        lambda scene, each, weights, _: (each * weights * factors).sum() / ((weights * factors).sum() or 1.0)
    )(scene, row, None)


def _one_logit(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Of two classes."""
    if scene.replay.graph.axes(row.inputs[0]).shape[-1] != 2:
        return None
    labels, _weights = labels_of(scene, row)
    return formula(row, lambda x: binary(in_shape(x, labels)[..., 1], labels.astype(np.float64)).mean())


def binary(x: Values, y: Values) -> Values:
    """The binary cross entropy of a logit."""
    return np.logaddexp(0, x) - y * x


def _each_alone(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    labels, _weights = labels_of(scene, row)

    def loss(x: Values) -> Values:
        x = in_shape(x, labels)
        return binary(x, np.eye(x.shape[-1])[labels]).mean()

    return formula(row, loss)


def loss(
    id: str, applies: Callable[[TensorRow], bool], make: Callable[[Scene, TensorRow, Any], Made | None],
    words: str | Callable[[Told], str], patch: str, **more: Any,
) -> Hypothesis:  # fmt: skip
    said = words if callable(words) else lambda told: f"{told.at}: {words}"
    return Hypothesis(f"loss.{id}", applies, make, said, WHERE, patch, **more)


HYPOTHESES = (
    loss("labels_inverted", CLASSES, _other_labels(_inverted), "labels 0 and 1 are exchanged",
         "0 means that the second segment follows the first"),
    loss("label_ignored", CLASSES, _other_labels(_ignoring),
         lambda told: f"{told.at}: label {told.choice} is ignored, and counts for nothing",
         "ignore_index is for labels that mean nothing, -100", choices=_ignored_labels),
    loss("ignored_counted", ENTROPIES,
         _other_labels(lambda labels, weights, *_: (labels, np.ones_like(weights)), all_count=True),
         "labels that are to be ignored count as label 0, or unused slots of predictions as predictions",
         "ignore negative labels, and multiply by the weights"),
    loss("every_pair", ENTROPIES, _of_pairs,
         lambda told: f"{told.at}: each label is taken in every row, not in its own alone, and of these the "
                      f"{told.choice.removeprefix('the ')} over all rows",
         "take a label in its own row: logs[np.arange(n), labels]", choices=_pairs),
    loss("log_softmax", ENTROPIES, _of_logs,
         lambda told: f"{told.at}: the logarithms of the softmax have {told.choice}",
         "logits - log(sum over the classes of exp(logits))", choices=_logs),
    loss("logarithm", ENTROPIES, _to_base, lambda told: f"{told.at}: logarithms to the base of {told.choice}",
         "use natural logarithms", choices=_bases),
    loss("log_epsilon", ENTROPIES, _with_log_epsilon,
         lambda told: f"{told.at}: {told.number} is added to the probability before its logarithm is taken",
         "take the logarithm of the softmax (log_softmax), which needs no such number",
         number=Number("epsilon", 1e-12, 0.5, lambda scene: {
             "1e-10": 1e-10, "1e-09": 1e-9, "1e-08": 1e-8, "1e-07": 1e-7, "1e-06": 1e-6, "1e-05": 1e-5,
         }, open_ended=True)),
    loss("labels_offset", ENTROPIES, _moved,
         lambda told: f"{told.at}: the labels {told.choice}",
         "take the batch's labels as they are", choices=_moves),
    loss("other_terms", ENTROPIES, _of_other_terms,
         lambda told: f"{told.at}: {told.choice}, where the mean of -log p belongs", "take the mean of -log p",
         choices=_other_terms),
    loss("smoothing", ENTROPIES, _smoothed,
         lambda told: f"{told.at}: labels are smoothed by {told.number}", "label_smoothing=0",
         number=Number("smoothing", 1e-4, 0.9, lambda scene: {"0.1": 0.1, "0.05": 0.05, "0.2": 0.2})),
    loss("softmax_twice", ENTROPIES, _softmax_twice,
         "probabilities are given where logits belong, so that there are two softmaxes", "give the logits"),
    loss("squares_of_probabilities", CLASSES, _brier,
         "the mean of squared differences between probabilities and one-hot labels",
         "take the mean of -log p"),
    loss("classes_across", CLASSES, _classes_across,
         "logits (S, C) of each text are taken for (C, S), by a reshape without a transpose",
         "bring the classes' axis to its place with a transpose"),
    loss("class_weighted", CLASSES, _by_class,
         lambda told: f"{told.at}: label 1 counts {told.number} times as much as label 0", "leave the weights out",
         number=Number("weight", 0.02, 50.0, lambda scene: {"2": 2.0, "3": 3.0, "5": 5.0, "10": 10.0},
                       own=lambda scene: 1.0)),
    loss("one_logit", CLASSES, _one_logit,
         "a sigmoid of the second class's logit alone (a binary cross entropy); the first class's belongs to it, too",
         "use the softmax cross entropy"),
    loss("choices_across", CLASSES, _across,
         "choices are taken across questions: a reshape, where a transpose belongs",
         "reshape the logits to (questions, choices)"),
    loss("sigmoid_for_softmax", CLASSES, _each_alone,
         "each class by itself (a binary cross entropy); they exclude each other", "use the softmax cross entropy"),
)  # fmt: skip
