"""Layer norms: epsilon, the variance, gamma and beta, the mean, half precision, none at all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.arithmetic import RowArithmetic
from ...graph.axes import kind
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, Told, of_op
from ..scene import Scene
from .tools import (
    ARGUMENT,
    HALF,
    by,
    formula,
    found_at,
    held,
    in_half,
    is_fine,
    layer_of,
    places,
    reads_what_is_right,
    with_others,
)

Values = Any
EPSILONS = (1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)
WHERE = {
    "torch": "nn.LayerNorm(hidden_size, eps=...)",
    "JAX": "nn.LayerNorm(epsilon=...), whose default is 1e-6; x.var(-1)",
    "NumPy": "(x - x.mean(-1)) / np.sqrt(x.var(-1) + eps) * gamma + beta",
    "C": "mean, variance and 1 / sqrtf(variance + eps) of a row",
}


def _constants(scene: Scene) -> dict[str, float]:
    return {f"{value:.0e}": value for value in EPSILONS}


def subject(told: Told) -> str:
    """Who does it: all layer norms that can be judged, or some."""
    if told.everywhere and len({kind(name) for name in told.names}) > 1:
        return "layer norms"
    return f"layer norms at {told.at}" if len(told.names) > 1 else f"the layer norm at {told.at}"


def _verb(told: Told, one: str, many: str) -> str:
    who = subject(told)
    return f"{who} {one if who.startswith('the ') else many}"


def _epsilon(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    numerics = replace(scene.case.numerics, layer_norm_eps=value)
    return by(RowArithmetic(replace(scene.case, numerics=numerics), scene.params), row)


def _by_formula(
    normed: Callable[[Values, float], Values], *, affine: bool = True
) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    """Norms whose normalised input is `normed(x, number)`; the number is the reference's epsilon unless it is free."""

    def make(scene: Scene, row: TensorRow, value: Any) -> Rewritten:
        gamma, beta = (scene.params[name] for name, _ in row.parameters)
        number = scene.case.numerics.layer_norm_eps if value is None else value
        if not affine:
            return formula(row, lambda x: normed(x, number))
        return formula(row, lambda x: normed(x, number) * gamma + beta)

    return make


def _centred(x: Values) -> Values:
    return x - x.mean(axis=-1, keepdims=True)


def _variance(x: Values, ddof: int = 0) -> Values:
    return x.var(axis=-1, keepdims=True, ddof=ddof)


def normed(x: Values, eps: float) -> Values:
    """As the reference does it, without gamma and beta."""
    return _centred(x) / np.sqrt(_variance(x) + eps)


def norm_of(scene: Scene, row: TensorRow) -> Callable[[Values], Values]:
    """The norm of a row, with its gamma and beta."""
    gamma, beta = (scene.params[name] for name, _ in row.parameters)
    return lambda x: normed(x, scene.case.numerics.layer_norm_eps) * gamma + beta


def _outside(ddof: int) -> Callable[[Values, float], Values]:
    return lambda x, eps: _centred(x) / (np.sqrt(_variance(x, ddof)) + eps)


Affine = Callable[[Values, Values, Values], Values]
"""Of what is normalised, gamma and beta."""


def _affine(scene: Scene, row: TensorRow, affine: Affine) -> Rewritten:
    gamma, beta = (scene.params[name] for name, _ in row.parameters)
    eps = scene.case.numerics.layer_norm_eps
    return formula(row, lambda x: affine(normed(x, eps), gamma, beta))


LEFT_OUT: dict[str, Affine] = {"beta": lambda y, gamma, beta: y * gamma, "gamma": lambda y, gamma, beta: y + beta}
OTHER_AFFINE: dict[str, Affine] = {
    "beta is added before gamma multiplies": lambda y, gamma, beta: (y + beta) * gamma,
    "gamma and beta are taken for each other": lambda y, gamma, beta: y * beta + gamma,
    "beta is subtracted": lambda y, gamma, beta: y * gamma - beta,
}


def _listed(ways: Mapping[str, Affine]) -> Callable[[Scene, TensorRow], Iterator[Possibility]]:
    return lambda scene, row: (Possibility(words, affine) for words, affine in ways.items())


def _divisors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the length of the centred row, the root of a sum of squares", "length")
    yield Possibility("the mean of the absolute values of what is centred", "absolute")
    yield Possibility("the root of the mean square of what is not centred", "mean square")


def _divided(scene: Scene, row: TensorRow, by: str) -> Rewritten:
    def other(x: Values, eps: float) -> Values:
        centred = _centred(x)
        if by == "absolute":
            return centred / np.mean(np.abs(centred), axis=-1, keepdims=True)
        if by == "mean square":
            return centred / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        return centred / np.sqrt(np.sum(centred * centred, axis=-1, keepdims=True) + eps)

    return _by_formula(other)(scene, row, None)


def _twice(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    norm = norm_of(scene, row)
    return formula(row, lambda x: norm(norm(x)))


OWN: dict[str, Callable[[Values, Values], Values]] = {
    "x, of which the mean is not subtracted, divided by the root of the variance":
        lambda x, root: x / root,
    "x plus its mean, divided by the root of the variance":
        lambda x, root: (x + x.mean(axis=-1, keepdims=True)) / root,
    "x less its sum, divided by the root of the variance":
        lambda x, root: (x - x.sum(axis=-1, keepdims=True)) / root,
    "x less its mean, times the root of the variance":
        lambda x, root: _centred(x) * root,
    "x less the quotient of its mean and the root of the variance":
        lambda x, root: x - x.mean(axis=-1, keepdims=True) / root,
}  # fmt: skip
"""What is normalised, of x and the root of its variance plus epsilon."""


def _formulas(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    return (Possibility(words, words) for words in OWN)


def _other_formula(scene: Scene, row: TensorRow, words: str) -> Rewritten:
    return _by_formula(lambda x, eps: OWN[words](x, np.sqrt(_variance(x) + eps)))(scene, row, None)


Statistic = tuple[tuple[int, ...], str, bool]
"""Over which axes, which one, and whether over tokens alone; else over what was recorded on padding, too."""
WHICH = {
    "both": "mean and variance over {}", "own mean": "the mean over {}, and the variance over the channels",
    "mean": "the mean over {}, and the mean square of what that leaves over the channels",
    "variance": "the mean square, of what is centred over the channels, over {}",
    "own variance": "the variance, around a mean of its own, over {}",
}  # fmt: skip
"""What is taken over the axes."""


def _axes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    over = {"the positions": (-2,), "positions and channels together": (-2, -1), "the rows": (0,)}
    all_rows = {"rows and positions": (0, -2), "everything": (0, -2, -1)}
    for which, taken in WHICH.items():
        for words, axes in {**over, **all_rows}.items():
            yield Possibility(taken.format(words), (axes, which, False))
        for words, axes in all_rows.items():
            yield Possibility(taken.format(f"{words} without padding"), (axes, which, True))


def _over(scene: Scene, row: TensorRow, value: Statistic) -> Rewritten | None:
    axes, which, tokens = value
    if row.axes not in ("B S H", "B P H"):
        return None
    gamma, beta = (scene.params[name] for name, _ in row.parameters)
    eps, shape = scene.case.numerics.layer_norm_eps, scene.replay.graph.axes(row.name).shape
    inside = np.ones((*shape[:2], 1))
    if tokens and row.axes == "B S H":
        inside = scene.case.batch.attention_mask[..., None].astype(np.float64)

    def mean(x: Values, other: bool) -> Values:
        if not other:
            return x.mean(axis=-1, keepdims=True)
        count = np.broadcast_to(inside, shape).sum(axis=axes, keepdims=True)
        return (x * inside).sum(axis=axes, keepdims=True) / np.maximum(count, 1)

    def compute(x: Values) -> Values:
        x = x if tokens and row.axes == "B S H" else scene.raw(row.inputs[0], x)
        centred = x - mean(x, which in ("both", "mean", "own mean"))
        spread = centred if which in ("both", "mean", "variance") else x - mean(x, which == "own variance")
        root = np.sqrt(mean(spread * spread, which in ("both", "variance", "own variance")) + eps)
        return centred / root * gamma + beta

    return replace(formula(row, compute), padding=not tokens)


def _sources(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield from places(scene, row)
    if row.name == "embeddings.norm":
        yield Possibility("the words' embeddings", ("", 0, "embeddings.word"))


def _reads(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    """Where its input was recorded: else it is as if that were another."""
    found, own = found_at(scene, row, place), row.inputs[0]
    if found in (None, own) or own not in scene.values or row.axes != "B S H" or not reads_what_is_right(scene, row):
        return None
    return _by_formula(normed)(scene, replace(row, inputs=(str(found),)), None)


def _in_half(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Input, gamma, beta and output in float16, what is between them in float32."""
    if not is_fine(scene):
        return None
    gamma, beta = (held(scene.params[name], HALF) for name, _ in row.parameters)
    eps, seen = scene.case.numerics.layer_norm_eps, scene.values.get(row.name)

    def compute(x: Values) -> Values:
        x = held(x, HALF)
        return in_half(_centred(x) / np.sqrt(_variance(x) + eps) * gamma + beta, seen)

    return formula(row, compute)


def _others(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """The norms of the same layer, or, of one outside of layers, the others there: a choice's value says which, and
    the name of the tensor, in the layer or of its own."""
    inside = layer_of(row) is not None
    for other in scene.rows.values():
        if other.op == row.op and other.name != row.name and layer_of(other) == layer_of(row):
            name = other.name.split(".", 2)[2] if inside else other.name
            yield Possibility(f"{name} of the same layer" if inside else name, (inside, name))


def _of_other(scene: Scene, row: TensorRow, choice: tuple[bool, str]) -> Rewritten | None:
    (inside, name), i = choice, layer_of(row)
    name = f"layer.{i}.{name}" if inside else name
    if inside is not (i is not None) or name == row.name:
        return None
    return with_others(scene, row, [name for name, _ in scene.rows[name].parameters])


NUMBER = Number(
    "epsilon", 1e-14, 1.0, _constants, open_ended=True, own=lambda scene: scene.case.numerics.layer_norm_eps
)
ADDED = Number("epsilon", 1e-14, 1.0, _constants)
NORM = of_op("layer_norm")

HYPOTHESES = (
    Hypothesis(
        "norm.epsilon", NORM, _epsilon,
        lambda told: f"{_verb(told, 'uses', 'use')} epsilon {told.number}; "
                     f"the reference's is {told.scene.case.numerics.layer_norm_eps:g}",
        WHERE, "set layer_norm_eps={epsilon:g} in the config, and hand it to every norm", number=NUMBER,
    ),
    Hypothesis(
        "norm.epsilon_outside", NORM, _by_formula(_outside(0)),
        lambda told: f"{_verb(told, 'adds', 'add')} an epsilon of {told.number} to the root; "
                     "it belongs under the root, to the variance",
        WHERE, "divide by sqrt(variance + epsilon)", number=ADDED,
    ),
    Hypothesis(
        "norm.std_plus_epsilon", NORM, _by_formula(_outside(1)),
        lambda told: f"{_verb(told, 'divides', 'divide')} by the standard deviation over H - 1 plus {told.number}, "
                     "as the Annotated Transformer does; the variance is over H, and epsilon is added to it",
        {**WHERE, "torch": "x.std(-1, keepdim=True), which divides by H - 1"},
        "divide by sqrt(x.var(-1, unbiased=False) + epsilon)", number=ADDED,
    ),
    Hypothesis(
        "norm.unbiased", NORM,
        _by_formula(lambda x, eps: _centred(x) / np.sqrt(_variance(x, 1) + eps)),
        lambda told: f"{_verb(told, 'divides', 'divide')} the variance by H - 1; it is a mean over H",
        {**WHERE, "torch": "x.var(-1) and x.std(-1), which divide by H - 1 unless unbiased=False"},
        "x.var(-1, unbiased=False)",
    ),
    Hypothesis(
        "norm.squared", NORM,
        _by_formula(lambda x, eps: _centred(x) / (_variance(x) + eps) ** 2),
        lambda told: f"{_verb(told, 'divides', 'divide')} by the variance squared; its root belongs there",
        WHERE, "divide by (variance + epsilon) ** 0.5",
    ),
    Hypothesis(
        "norm.no_root", NORM,
        _by_formula(lambda x, eps: _centred(x) / (_variance(x) + eps)),
        lambda told: f"{_verb(told, 'divides', 'divide')} by the variance; its root belongs there",
        WHERE, "divide by sqrt(variance + epsilon)",
    ),
    Hypothesis(
        "norm.no_affine", NORM,
        _by_formula(normed, affine=False),
        lambda told: f"{_verb(told, 'leaves', 'leave')} out gamma and beta",
        {**WHERE, "torch": "elementwise_affine=False, or weights of another name (gamma, beta) that were not loaded"},
        "multiply by LayerNorm.weight and add LayerNorm.bias",
    ),
    Hypothesis(
        "norm.half_affine", NORM, _affine,
        lambda told: f"{_verb(told, 'leaves', 'leave')} out {told.choice}",
        {**WHERE, "torch": "nn.LayerNorm(..., bias=False), or a vector of another name that was not loaded"},
        "multiply by LayerNorm.weight and add LayerNorm.bias", choices=_listed(LEFT_OUT),
    ),
    Hypothesis(
        "norm.gamma_plus_one", NORM,
        lambda scene, row, _: _affine(scene, row, lambda y, gamma, beta: y * (1 + gamma) + beta),
        lambda told: f"{_verb(told, 'multiplies', 'multiply')} by 1 + gamma, as Gemma's do; BERT's multiply by gamma",
        {**WHERE, "torch": "(1 + weight) * x, for weights that are stored less 1"}, "multiply by gamma",
    ),
    Hypothesis(
        "norm.affine", NORM, _affine,
        lambda told: f"{subject(told)}: {told.choice}; it is gamma times what is normalised, plus beta",
        {**WHERE, "C": "y[i] = (x[i] - mean) * inverse * gamma[i] + beta[i]"},
        "multiply by gamma, then add beta", choices=_listed(OTHER_AFFINE),
    ),
    Hypothesis(
        "norm.divisor", NORM, _divided,
        lambda told: f"{_verb(told, 'divides', 'divide')} by {told.choice}; it is the root of the variance, a mean of "
                     "squares",
        {**WHERE, "torch": "F.normalize, x.norm(dim=-1)", "NumPy": "np.linalg.norm, np.abs(x).mean(-1)"},
        "divide by sqrt(variance + epsilon)", choices=_divisors,
    ),
    Hypothesis(
        "norm.twice", NORM, _twice,
        lambda told: f"{_verb(told, 'is', 'are')} applied twice, one after the other",
        {**WHERE, "torch": "a module that forward calls twice"}, "normalise once",
    ),
    Hypothesis(
        "norm.axes", NORM, _over,
        lambda told: f"{_verb(told, 'takes', 'take')} {told.choice}; mean and variance are over the channels of "
                     "each token",
        {**WHERE, "torch": "nn.LayerNorm((S, H)), x.mean() without an axis", "JAX": "axis= of mean and var"},
        "mean and variance over the last axis alone", choices=_axes,
    ),
    Hypothesis(
        "norm.formula", NORM, _other_formula,
        lambda told: f"{_verb(told, 'makes', 'make')} of x: {told.choice}; it is x less its mean, divided by the root "
                     "of the variance",
        WHERE, "normalise to (x - mean) / sqrt(variance + epsilon)", choices=_formulas,
    ),
    Hypothesis(
        "norm.reads", NORM, _reads,
        lambda told: f"{_verb(told, 'is', 'are')} of {told.choice}; "
                     "that is not what the reference normalises",
        ARGUMENT,
        "normalise the tensor that the reference normalises", choices=_sources,
    ),
    Hypothesis(
        "norm.rms", NORM,
        _by_formula(lambda x, eps: x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)),
        lambda told: f"{_verb(told, 'does', 'do')} not subtract the mean (an RMS norm with a bias)",
        WHERE, "subtract the row's mean first",
    ),
    Hypothesis(
        "norm.half", NORM, _in_half,
        lambda told: f"{_verb(told, 'is', 'are')} computed in float16, and the rest is not",
        {**WHERE, "torch": "x.half() before the norm, or autocast around it"},
        "give the norm float32 numbers, or verify the model as what it is (--precision)", way_back=False,
    ),
    Hypothesis(
        "norm.other_weights", NORM, _of_other,
        lambda told: f"gamma and beta of {told.at} are those of {told.choice}",
        {"torch": "the table of names by which a state dict is loaded", "JAX": "the conversion of a checkpoint",
         "NumPy": "the names by which weights are looked up", "C": "the order in which the file's tensors are read"},
        "load the norm's own gamma and beta", choices=_others,
    ),
    Hypothesis(
        "norm.missing", NORM, lambda scene, row, _: formula(row, lambda x: x),
        lambda told: f"there is no layer norm at {told.at}",
        {"torch": "a module that forward does not call", "JAX": "a missing call", "NumPy": "a missing call",
         "C": "a missing call"},
        "normalise there",
    ),
)  # fmt: skip
