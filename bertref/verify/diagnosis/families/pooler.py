"""What stands for a text, and what heads read: another token, a mean, the hidden states as they are."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, named, of_op
from ..scene import Scene
from .attention import HUGE
from .tools import formula, gathered

Values = Any
WHERE = {
    "torch": "hidden_states[:, 0]", "JAX": "hidden_states[:, 0]", "NumPy": "x[:, 0]", "C": "a sequence's first row",
}  # fmt: skip


def _tokens(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the last column, which may be padding", "column")
    yield Possibility("each row's last token", "last")
    yield Possibility("the last token of the first segment", "segment")
    for i in (1, 2):
        yield Possibility(f"token {i}, counted from 0", i)


def _column(scene: Scene, x: Values, which: Any) -> Values:
    """(B, H)"""
    if which == "column":
        return x[:, -1]
    if which in ("last", "segment"):
        counted = scene.case.batch.attention_mask.astype(bool)
        if which == "segment":
            counted = counted & (scene.case.batch.token_type_ids == 0)
        lengths = counted.sum(axis=1)
        return x[np.arange(len(x)), np.maximum(lengths - 1, 0)]
    return x[:, min(which, x.shape[1] - 1)]


def _means(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the mean of all columns, padding as well", "columns")
    yield Possibility("the mean of each row's tokens", "tokens")
    yield Possibility("the mean of each row's tokens but the first", "others")
    yield Possibility("the sum of each row's tokens", "sum")
    yield Possibility("the largest of each channel among a row's tokens", "largest")
    yield Possibility("the largest of each channel among all columns, padding as well", "largest of columns")


def _mean(scene: Scene, x: Values, which: str) -> Values:
    """(B, H)"""
    if which == "columns":
        return x.mean(axis=1)
    if which == "largest of columns":
        return x.max(axis=1)
    mask = scene.case.batch.attention_mask[..., None].astype(np.float64)
    if which == "largest":
        return np.where(mask > 0, x, -HUGE).max(axis=1)
    if which == "others":
        mask[:, 0] = 0
    if which == "sum":
        return (x * mask).sum(axis=1)
    return (x * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0)


OF_COLUMNS = ("column", "columns", "largest of columns")
"""What padding is read for, too."""


def _of(read: Callable[[Scene, Values, Any], Values]) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    """The row made of what is read instead of the first token; of what was recorded, on padding, too."""

    def make(scene: Scene, row: TensorRow, which: Any) -> Rewritten:
        made = scene.forward(row)

        def compute(x: Values) -> Values:
            return made.compute(read(scene, scene.raw(row.inputs[0], x), which)[:, None])

        return Rewritten(Contribution(row.inputs, compute), padding=which in OF_COLUMNS)

    return make


def _untransformed(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    states = scene.rows["mlm.dense"].inputs
    return Rewritten(Contribution(states, lambda x: gathered(scene, x)))


def _other_places(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one position further on", 1)
    yield Possibility("one position before", -1)
    yield Possibility("in the first text: positions are counted through all texts, and a text's start isn't added", 0)


def _read_at(scene: Scene, row: TensorRow, by: int) -> Rewritten:
    """The hidden states at other positions than those of the predictions, on padding, too."""
    at, (weight, bias) = scene.case.batch.masked_lm_positions.astype(np.int64), row.parameters
    rows = np.arange(len(at))[:, None] if by else np.zeros((1, 1), np.int64)

    def compute(x: Values) -> Values:
        x = scene.raw(row.inputs[0], x)
        read = x[rows, np.clip(at + by, 0, x.shape[1] - 1)]
        return read @ scene.params[weight.name].T + scene.params[bias.name]

    return Rewritten(Contribution(row.inputs, compute), padding=True)


def _scaled_states(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    made, factor = scene.forward(row), scene.case.config.hidden_size**-0.5
    return formula(row, lambda x: made.compute(factor * x))


def _logits_times(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    made = scene.forward(row)
    return formula(row, lambda x: value * made.compute(x))


def _capped(scene: Scene, row: TensorRow, cap: float) -> Rewritten:
    made = scene.forward(row)
    return formula(row, lambda x: cap * np.tanh(made.compute(x) / cap))


def _exchanged_classes(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    made = scene.forward(row)
    return formula(row, lambda x: made.compute(x)[..., ::-1])


def _unpooled(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    return Rewritten(Contribution(scene.rows["pooled_pre"].inputs, lambda x: x[:, 0]))


POOLER = named("pooled_pre")
LOGITS = named("mlm.logits", "nsp.logits", "classifier.logits")

HYPOTHESES = (
    Hypothesis(
        "pooler.token", POOLER, _of(_column),
        lambda told: f"the pooler reads {told.choice}; it reads the first token, [CLS]",
        WHERE, "read hidden_states[:, 0]", choices=_tokens,
    ),
    Hypothesis(
        "pooler.mean", POOLER, _of(_mean),
        lambda told: f"the pooler reads {told.choice}; it reads the first token, [CLS]",
        WHERE, "read hidden_states[:, 0]", choices=_means,
    ),
    Hypothesis(
        "pooler.missing", named("pooled"), _unpooled,
        lambda told: "the first token stands for the text as it is: the dense layer and the activation after it are "
                     "left out",
        {**WHERE, "torch": "pooler, classifier.dense, pre_classifier"}, "apply the dense layer and its activation",
    ),
    Hypothesis(
        "mlm.positions_offset", named("mlm.dense"), _read_at,
        lambda told: f"predictions read the hidden states {told.choice}; they read those of their own positions",
        {"torch": "logits[:, :-1] and labels[:, 1:], as of a model that predicts the next word; torch.gather",
         "JAX": "jnp.take_along_axis", "NumPy": "x[rows, positions]", "C": "x + (b * S + position) * hidden"},
        "read row b, position p of each prediction", choices=_other_places,
    ),
    Hypothesis(
        "mlm.states_scaled", of_op("decoder"), _scaled_states,
        lambda told: f"what the decoder reads is divided by the root of the hidden size ({told.at}), as T5 does; BERT "
                     "does not",
        {"torch": "states * (hidden_size ** -0.5)", "JAX": "the same", "NumPy": "the same", "C": "the same"},
        "leave the factor out",
    ),
    Hypothesis(
        "heads.logits_scaled", LOGITS, _logits_times,
        lambda told: f"logits are multiplied by {told.number} ({told.at}), as a temperature does",
        {"torch": "logits / temperature", "JAX": "the same", "NumPy": "the same", "C": "the same"},
        "leave the factor out",
        number=Number("factor", 1e-3, 1e3, lambda scene: {
            "1/2": 0.5, "2": 2.0, "1/sqrt(hidden size)": scene.case.config.hidden_size**-0.5,
        }, own=lambda scene: 1.0),
    ),
    Hypothesis(
        "heads.logits_capped", LOGITS, _capped,
        lambda told: f"logits x are c tanh(x / c) with c = {told.number} ({told.at}), as Gemma's; BERT's have no cap",
        {"torch": "cap * torch.tanh(logits / cap)", "JAX": "the same", "NumPy": "the same", "C": "the same"},
        "leave it out", number=Number("c", 1.0, 200.0, lambda scene: {"30": 30.0, "50": 50.0, "20": 20.0, "10": 10.0}),
    ),
    Hypothesis(
        "heads.classes_exchanged", named("nsp.logits"), _exchanged_classes,
        lambda told: f"the classes of {told.at} are in the opposite order: 0 is that the second segment follows",
        {"torch": "the rows of cls.seq_relationship", "JAX": "the same", "NumPy": "logits[:, ::-1]", "C": "the same"},
        "keep the order of the head's rows",
    ),
    Hypothesis(
        "mlm.transform_missing", named("mlm.transform"), _untransformed,
        lambda told: "the decoder reads the hidden states as they are: the head's dense layer, activation and norm are "
                     "left out",
        {"torch": "cls.predictions.transform", "JAX": "the head's transform", "NumPy": "the head's transform",
         "C": "the head's transform"},
        "apply dense, activation and layer norm before the decoder",
    ),
)  # fmt: skip
