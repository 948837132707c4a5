"""What stands for a text, and what heads read: another token, a mean, the hidden states as they are."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...emulation.formats import FORMATS
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, all_rows, named, of_op
from ..scene import BACK, Back, Scene
from .activations import FUNCTIONS, own, slope_of
from .attention import HUGE
from .norms import norm_of
from .tools import ARGUMENT, BACKWARD, formula, gathered, held, is_fine

Values = Any
WHERE = {
    "torch": "hidden_states[:, 0]", "JAX": "hidden_states[:, 0]", "NumPy": "x[:, 0]", "C": "a sequence's first row",
}  # fmt: skip


At = tuple[Values, Values]
"""Texts, and positions in them."""


def _packed(scene: Scene, at: Values) -> At:
    """Where these tokens stand, counted through the tokens of all texts without padding, and not beyond the last."""
    rows, columns = np.nonzero(scene.case.batch.attention_mask)
    at = np.clip(at, 0, len(rows) - 1)
    return rows[at], columns[at]


def _starts(scene: Scene) -> Values:
    """Where texts begin among the tokens of all texts without padding, (B)."""
    lengths = scene.case.batch.attention_mask.astype(np.int64).sum(axis=1)
    return np.cumsum(lengths) - lengths


def _tokens(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the last column, which may be padding", "column")
    yield Possibility("each row's last token", "last")
    yield Possibility("the last token of the first segment", "segment")
    for i in (1, 2):
        yield Possibility(f"token {i}, counted from 0", i)
    yield Possibility("as many of the first text's first tokens as there are texts", "of first")
    yield Possibility("the first text's first token, for every text", "first")
    yield Possibility("the tokens at which texts would begin with padding, of tokens that are packed without", "padded")
    yield Possibility("the first tokens, as many as there are texts, of tokens that are packed without padding", "rows")


def _token(scene: Scene, which: Any) -> At:
    """What is read for each text."""
    counted = scene.case.batch.attention_mask.astype(bool)
    B, S = counted.shape
    every = np.arange(B)
    if which in ("padded", "rows"):
        return _packed(scene, every * (S if which == "padded" else 1))
    if which in ("of first", "first"):
        return 0 * every, np.minimum(every, S - 1) * (which == "of first")
    if which in ("last", "segment"):
        if which == "segment":
            counted = counted & (scene.case.batch.token_type_ids == 0)
        return every, np.maximum(counted.sum(axis=1) - 1, 0)
    return every, np.full(B, S - 1 if which == "column" else min(which, S - 1))


def _padding_among(scene: Scene, at: At) -> bool:
    return not scene.case.batch.attention_mask[at].all()


def _of_token(scene: Scene, row: TensorRow, which: Any) -> Rewritten:
    """The pooler made of another token; of what was recorded, on padding, too."""
    made, at = scene.forward(row), _token(scene, which)

    def compute(x: Values) -> Values:
        return made.compute(scene.raw(row.inputs[0], x)[at][:, None])

    return Rewritten(Contribution(row.inputs, compute), padding=_padding_among(scene, at))


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


OF_COLUMNS = ("columns", "largest of columns")
"""What padding is read for, too."""


def _of_mean(scene: Scene, row: TensorRow, which: str) -> Rewritten:
    """The pooler made of what is read instead of the first token; of what was recorded, on padding, too."""
    made = scene.forward(row)

    def compute(x: Values) -> Values:
        return made.compute(_mean(scene, scene.raw(row.inputs[0], x), which)[:, None])

    return Rewritten(Contribution(row.inputs, compute), padding=which in OF_COLUMNS)


def _untransformed(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    states = scene.rows["mlm.dense"].inputs
    return Rewritten(Contribution(states, lambda x: gathered(scene, x)))


def _other_places(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one position further on", "next")
    yield Possibility("one position before", "before")
    yield Possibility("in the first text: positions are counted through all texts, and a text's start isn't added",
                      "first")  # fmt: skip
    yield Possibility("one token further on, of tokens that are packed without padding", "packed next")
    yield Possibility("one token before, of tokens that are packed without padding", "packed before")
    yield Possibility("where they would be with padding, of tokens that are packed without", "padded")
    yield Possibility("of tokens that are packed without padding, as if there were one text: its start isn't added",
                      "packed first")  # fmt: skip


def _place(scene: Scene, which: str) -> At:
    """What is read for each prediction, (B, P)."""
    at = scene.case.batch.masked_lm_positions.astype(np.int64)
    B, S = scene.case.batch.input_ids.shape
    rows, way = np.arange(B)[:, None], which.rpartition(" ")[2]
    by = {"next": 1, "before": -1}.get(way, 0)
    if which == "padded":
        return _packed(scene, rows * S + at)
    if which.startswith("packed"):
        return _packed(scene, at + by + (0 if way == "first" else _starts(scene)[:, None]))
    return np.broadcast_to(0 * rows if which == "first" else rows, at.shape), np.clip(at + by, 0, S - 1)


def _read_at(scene: Scene, row: TensorRow, which: str) -> Rewritten:
    """The hidden states at other positions than those of the predictions, on padding, too."""
    at, (weight, bias) = _place(scene, which), row.parameters

    def compute(x: Values) -> Values:
        return scene.raw(row.inputs[0], x)[at] @ scene.params[weight.name].T + scene.params[bias.name]

    return Rewritten(Contribution(row.inputs, compute), padding=_padding_among(scene, at))


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


def _before(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for name in IN_FRONT.get(row.inputs[0], ()):
        yield Possibility(name, name)


def _of_before(scene: Scene, row: TensorRow, name: str) -> Rewritten | None:
    """Made of what stands in front of its input, where that was recorded: else it may be that one that is wrong."""
    own = row.inputs[0]
    if own not in scene.values or name not in IN_FRONT.get(own, ()):
        return None
    compute = norm_of(scene, row) if row.op == "layer_norm" else scene.forward(row).compute
    return Rewritten(Contribution((name,), compute))


def _norm_first(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    """The head's norm in the place of its activation, and the other way round."""
    act, norm = (scene.rows[name] for name in ("mlm.act", "mlm.transform"))
    x = row.inputs[0]
    if row is act:
        return Rewritten(Contribution((x,), norm_of(scene, norm)), weights=tuple(name for name, _ in norm.parameters))
    function = FUNCTIONS[own(scene, act)]
    slope = slope_of(function)
    back = Contribution((f"grad:{row.name}", x), lambda d, x: d * slope(x), x, lambda d, _: d)
    return Rewritten(Contribution((x,), function, x), (back,))


def _formats(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for name in ("bfloat16", "float16"):
        yield Possibility(name, name)


def _rounded(scene: Scene, row: TensorRow, name: str) -> Rewritten | None:
    """Logits that are rounded, and on the way back their gradients, as autograd does it."""
    if not is_fine(scene):
        return None
    to, seen = FORMATS[name], scene.values.get(row.name)

    def near(y: Values) -> Values:
        """Where two neighbours are about as near, the subject's own number, if it is one of them."""
        found = held(y, to)
        other = found if seen is None else np.asarray(seen, np.float64)
        return np.where((held(other, to) == other) & (np.abs(other - y) <= 1.02 * np.abs(found - y)), other, found)

    def of_rounded(part: Contribution) -> Contribution:
        return part._replace(compute=lambda d, *inputs: part.compute(held(d, to), *inputs), terms=None)

    exact, arithmetic = scene.forward(row), scene.replay.graph.arithmetic
    parameters = {one.name: of_rounded(arithmetic.parameter(row, i)) for i, one in enumerate(row.parameters)}
    back = tuple(of_rounded(arithmetic.backward(row, i)) for i in range(len(row.inputs)))
    return Rewritten(Contribution(row.inputs, lambda x: near(exact.compute(x))), back, parameters)


# -- the way back where the forward pass is right ----------------------------------------------------------------------


def _spreads(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("to every token of its text", "every")
    yield Possibility("to every token of its text, divided by their number, as of a mean", "mean")
    for one in _tokens(scene, row):
        yield Possibility(f"to {one.words}", one.value)
    for words in FIRST_ALONE:
        yield Possibility(words, words)


FIRST_ALONE = ("to the first text alone", "to the first text alone, that of all texts added up")


def _spread(scene: Scene, row: TensorRow, which: Any) -> Back:
    """The gradient of what is pooled, given to other tokens than the first."""
    mask = scene.case.batch.attention_mask.astype(np.float64)
    matrix = scene.params[row.parameters[0].name]

    def back(d: Values) -> Values:
        d, x = d @ matrix, np.zeros((*mask.shape, matrix.shape[1]))
        if which in ("every", "mean"):
            return d[:, None] * (mask / (mask.sum(axis=1, keepdims=True) if which == "mean" else 1.0))[..., None]
        if which in FIRST_ALONE:
            x[0, 0] = d[0] if which == FIRST_ALONE[0] else d.sum(axis=0)
        else:
            np.add.at(x, _token(scene, which), d)
        return x

    return Back((Contribution((f"grad:{scene.made_by(row)}",), back),))


def _scattered(scene: Scene, row: TensorRow, which: str) -> Back:
    """The gradient of what is predicted from, given to other positions."""
    shape, matrix = scene.case.batch.input_ids.shape, scene.params[row.parameters[0].name]

    def back(d: Values) -> Values:
        x = np.zeros((*shape, matrix.shape[1]))
        np.add.at(x, _place(scene, which), d @ matrix)
        return x

    return Back((Contribution((f"grad:{scene.made_by(row)}",), back),))


def _behind(scene: Scene, row: TensorRow, _: Any) -> Back | None:
    """The way back of a dense layer, made of the gradient of what an activation makes of it."""
    own = scene.made_by(row)
    found = [other.name for other in scene.rows.values() if other.op in ELEMENTWISE and other.inputs == (own,)]
    if not found:
        return None

    def of_other(part: Contribution) -> Contribution:
        return part._replace(inputs=tuple(f"grad:{found[0]}" if x == f"grad:{own}" else x for x in part.inputs))

    parameters = {name: of_other(part) for name, part in scene.parameters(row).items()}
    return Back(tuple(map(of_other, scene.backward(row))), parameters)


Slope = Callable[[Values, Values], Values]
"""A derivative of tanh's output and input."""
TANH_SLOPES: dict[str, Slope] = {
    "1 - y": lambda y, x: 1 - y,
    "1 - tanh(y)^2": lambda y, x: 1 - np.tanh(y) ** 2,
    "1": lambda y, x: np.ones_like(y),
    "(1 - y)^2": lambda y, x: (1 - y) ** 2,
    "1 + y^2": lambda y, x: 1 + y * y,
    "1 - 2 y": lambda y, x: 1 - 2 * y,
    "y^2 - 1": lambda y, x: y * y - 1,
    "1 - x^2, of tanh's input x": lambda y, x: 1 - x * x,
    "y (1 - y), the sigmoid's": lambda y, x: y * (1 - y),
    "y^2": lambda y, x: y * y,
}


def _tanh_slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, slope in TANH_SLOPES.items():
        yield Possibility(words, slope)


def _by_tanh_slope(scene: Scene, row: TensorRow, slope: Slope) -> Back:
    y = scene.made_by(row)
    return Back((Contribution((f"grad:{y}", y, row.inputs[0]), lambda d, y, x: d * slope(y, x), y),))


ELEMENTWISE = ("activation", "tanh", "relu")
POOLER = named("pooled_pre")
LOGITS = named("mlm.logits", "nsp.logits", "classifier.logits")
IN_FRONT = {"pooled": ("pooled_pre",), "mlm.act": ("mlm.dense",), "mlm.transform": ("mlm.act", "mlm.dense")}
"""What an input is made of, elementwise or by a norm."""

HYPOTHESES = (
    Hypothesis(
        "pooler.token", POOLER, _of_token,
        lambda told: f"the pooler reads {told.choice}; it reads the first token, [CLS]",
        WHERE, "read hidden_states[:, 0]", choices=_tokens,
    ),
    Hypothesis(
        "pooler.mean", POOLER, _of_mean,
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
    Hypothesis(
        "mlm.norm_before_activation", named("mlm.act", "mlm.transform"), _norm_first,
        lambda told: "the layer norm of the head that predicts words stands before its activation; it stands after it",
        {"torch": "cls.predictions.transform", "JAX": "the head's transform", "NumPy": "the head's transform",
         "C": "the head's transform"},
        "apply dense, activation and layer norm in this order", together=all_rows,
    ),
    Hypothesis(
        "heads.reads", named("nsp.logits", "classifier.logits", "mlm.transform", "mlm.logits"), _of_before,
        lambda told: f"{told.at}: computed from {told.choice}; what is made of that is left out",
        ARGUMENT,
        "read the tensor that the reference reads", choices=_before,
    ),
    Hypothesis(
        "heads.logits_rounded", LOGITS, _rounded,
        lambda told: f"logits are rounded to {told.choice} ({told.at})",
        {"torch": "logits.to(dtype), a head under autocast", "JAX": "logits.astype", "NumPy": "astype",
         "C": "the type of the logits' buffer"},
        "hold logits in float32", choices=_formats,
    ),
    Hypothesis(
        "pooler.gradient", named(f"{BACK} pooled_pre"), _spread,
        lambda told: f"the pooler's gradient goes {told.choice}; the pooler read each text's first token",
        {**BACKWARD, "NumPy": "dx[:, 0] += d @ weight", "C": "the backward loop of the pooler"},
        "add it at each text's first token", choices=_spreads,
    ),
    Hypothesis(
        "mlm.gradient_places", named(f"{BACK} mlm.dense"), _scattered,
        lambda told: f"the gradients of predictions go {told.choice}; they go to the hidden states that were read",
        {**BACKWARD, "NumPy": "np.add.at(dx, (rows, positions), d)", "C": "the backward loop of the gather"},
        "add each where its hidden state was read", choices=_other_places,
    ),
    Hypothesis(
        "pooler.gradient_of_activated", named(f"{BACK} pooled_pre"), _behind,
        lambda told: "the way back of the pooler's dense layer is made of the gradient behind the activation, "
                     "as if there were none",
        {**BACKWARD, "NumPy": "the argument of the dense layer's backward", "C": "the pointer"},
        "multiply by the activation's derivative first",
    ),
    Hypothesis(
        "backward.tanh_slope", of_op(f"tanh {BACK}"), _by_tanh_slope,
        lambda told: f"the derivative of tanh at {told.at.replace(f'{BACK} ', '')} is {told.choice}; it is 1 - y^2",
        {**BACKWARD, "NumPy": "d * (1 - y * y)", "C": "the backward loop of the pooler"},
        "1 - y * y", choices=_tanh_slopes,
    ),
)  # fmt: skip
