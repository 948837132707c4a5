"""The way back of a forward pass that is right: paths without a gradient, other derivatives, sums and factors.

A row's way back is a row of its own (`scene.BACK`).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.axes import kind
from ...graph.contribution import Contribution
from ..hypothesis import Hypothesis, Possibility, Told, all_rows
from ..scene import BACK, START, Back, Scene
from .activations import FUNCTIONS, own, slope_of
from .heads import by_head, merged
from .tools import inputs_times, rows_of, scaled

Values = Any
Make = Callable[[Scene, TensorRow, Any], Any]
WHERE = {
    "torch": "the backward of a torch.autograd.Function; detach(), torch.no_grad(), requires_grad",
    "JAX": "jax.lax.stop_gradient, the rule of a custom_vjp", "NumPy": "the backward function of the step",
    "C": "the backward loop of the step",
}  # fmt: skip


def back_of(*ops: str) -> Callable[[TensorRow], bool]:
    """The ways back of rows of these ops; of all, if none is named."""
    kinds = {f"{op} {BACK}" for op in ops}
    return lambda row: row.name.startswith(f"{BACK} ") and (not ops or row.op in kinds)


def _parameter(scene: Scene, row: TensorRow, i: int, change: Callable[[Values], Values]) -> Back | None:
    """The gradient of a row's own parameter, changed."""
    parts, name = scene.parameters(row), row.parameters[i].name
    if name not in parts:
        return None
    part = parts[name]
    changed = part._replace(compute=lambda *inputs: change(part.compute(*inputs)), terms=None)
    return Back((), {**parts, name: changed})


def _names(told: Told) -> str:
    return told.at.replace(f"{BACK} ", "")


# -- paths -------------------------------------------------------------------------------------------------------------


def _inputs(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for i, name in enumerate(row.inputs):
        yield Possibility(kind(name), i)


def _detached(scene: Scene, row: TensorRow, i: int) -> Back | None:
    return inputs_times(scene, row, {i: 0.0}) if i < len(row.inputs) else None


def _parameters(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for i, parameter in enumerate(row.parameters):
        yield Possibility(parameter.name, i)


def _without_gradient(shared: bool) -> Make:
    """Of a parameter that several rows have, or of one that is one row's own, if that isn't 0 but for rounding, as the
    gradient of the keys' bias is."""

    def make(scene: Scene, row: TensorRow, i: int) -> Back | None:
        if i >= len(row.parameters) or (scene.users(row.parameters[i].name) > 1) is not shared:
            return None
        if not shared and scene.vanishes(f"grad:{row.parameters[i].name}"):
            return None
        return _parameter(scene, row, i, lambda gradient: 0.0 * gradient)

    return make


# -- derivatives -------------------------------------------------------------------------------------------------------

SLOPES = {
    "GELU's tanh form": "gelu_tanh", "the exact GELU": "gelu_erf", "ReLU": "relu", "GELU's sigmoid form": "quick_gelu",
}  # fmt: skip


def _slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, name in SLOPES.items():
        if name != own(scene, scene.rows[scene.made_by(row)]):
            yield Possibility(words, slope_of(FUNCTIONS[name]))
    yield Possibility("GELU's with half of the product rule, without x times the normal density", _share)
    yield Possibility("GELU's with a normal density that isn't divided by sqrt(2 pi)", _by_density(np.sqrt(2 * np.pi)))
    yield Possibility("GELU's with x times the normal density taken off, not added", _by_density(-1.0))
    yield Possibility("GELU's with the normal density, without x", _without_x)


def _by_density(factor: float) -> Callable[[Values], Values]:
    """Φ(x) and x times the normal density, multiplied by a factor."""
    return lambda x: _share(x) + factor * x * _density(x)


def _without_x(x: Values) -> Values:
    return _share(x) + _density(x)


def _density(x: Values) -> Values:
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _share(x: Values) -> Values:
    """Φ(x): GELU(x) / x, with its limit at 0."""
    x = np.where(x == 0, 1e-12, x)
    return FUNCTIONS["gelu_erf"](x) / x


def _by_slope(scene: Scene, row: TensorRow, slope: Callable[[Values], Values]) -> Back:
    x = row.inputs[0]
    return Back((Contribution((f"grad:{scene.made_by(row)}", x), lambda d, x: d * slope(x), x),))


def _normed(scene: Scene, x: Values) -> tuple[Values, Values]:
    centred = x - x.mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + scene.case.numerics.layer_norm_eps)
    return centred * inverse, inverse


def _statistics(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("mean and variance are taken for constants; they depend on the input", "both")
    yield Possibility("the mean of the gradient isn't taken off", "mean")
    yield Possibility("the part of the gradient along the normalised input isn't taken off", "variance")
    yield Possibility("gamma is left out", "gamma")
    yield Possibility("sums over the elements are taken off, where means belong", "sums")
    yield Possibility("the standard deviation isn't divided by", "deviation")


def _constant_statistics(scene: Scene, row: TensorRow, left_out: str) -> Back:
    gamma = 1.0 if left_out == "gamma" else scene.params[row.parameters[0].name]
    inputs = (f"grad:{scene.made_by(row)}", row.inputs[0])

    def back(d: Values, x: Values) -> Values:
        (y, inverse), d = _normed(scene, x), d * gamma
        mean, along = d.mean(axis=-1, keepdims=True), y * (d * y).mean(axis=-1, keepdims=True)
        n = x.shape[-1] if left_out == "sums" else 1
        mean = 0.0 if left_out in ("both", "mean") else n * mean
        along = 0.0 if left_out in ("both", "variance") else n * along
        return (d - mean - along) * (1.0 if left_out == "deviation" else inverse)

    return Back((Contribution(inputs, back),))


def _wrong_factors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the normalised input times gamma", "scaled")
    yield Possibility("the norm's output", "output")
    yield Possibility("the norm's input", "input")


def _gamma_from(scene: Scene, row: TensorRow, what: str) -> Back:
    gamma, beta = (scene.params[name] for name, _ in row.parameters)

    def factor(x: Values) -> Values:
        if what == "input":
            return x
        scaled = _normed(scene, x)[0] * gamma
        return scaled + beta if what == "output" else scaled

    inputs = (f"grad:{scene.made_by(row)}", row.inputs[0])
    first = Contribution(inputs, lambda d, x: rows_of(d * factor(x)).sum(axis=0))
    return Back((), {**scene.parameters(row), row.parameters[0].name: first})


def _exchanged(scene: Scene, row: TensorRow, _: Any) -> Back | None:
    """The gradients of gamma and beta, each in the other's place."""
    parts, (gamma, beta) = scene.parameters(row), (name for name, _ in row.parameters)
    if not {gamma, beta} <= parts.keys():
        return None  # with another norm's weights
    return Back((), {**parts, gamma: parts[beta], beta: parts[gamma]})


def _scale_sides(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for i, name in enumerate(row.inputs):
        yield Possibility(kind(name).rpartition(".")[2], (i,))
    yield Possibility("query and key", (0, 1))


def _unscaled(scene: Scene, row: TensorRow, sides: tuple[int, ...]) -> Back:
    return inputs_times(scene, row, dict.fromkeys(sides, 1 / scene.replay.graph.arithmetic.scale))


def _softmax_gradients(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("y dy alone; the row's sum of it, times y, belongs off it", "no sum")
    yield Possibility("y dy less twice the row's sum of it, times y; it is once", "twice")
    yield Possibility("the right one less y times the row's sum of its absolute values", "absolute")
    yield Possibility("y dy less y times the row's mean of it; it is the sum", "mean")
    yield Possibility("y (1 - y) dy, the diagonal of the Jacobian alone", "diagonal")
    yield Possibility("y dy less y times the row's sum of dy; it is the sum of y dy", "gradient")
    yield Possibility("dy less the row's sum of y dy; it is y times that", "unweighted")
    yield Possibility("dy, as if there were no softmax", "none")


def _by_softmax(scene: Scene, row: TensorRow, what: str) -> Back:
    def back(d: Values, y: Values) -> Values:
        product, every = y * d, scene.raw(f"grad:{scene.made_by(row)}", d)  # at padding, too
        total = product.sum(axis=-1, keepdims=True)
        right = product - y * total
        absolute = np.abs(right).sum(axis=-1, keepdims=True)
        return {
            "no sum": product, "twice": right - y * total, "absolute": right - y * absolute,
            "mean": product - y * product.mean(axis=-1, keepdims=True), "diagonal": product * (1 - y),
            "gradient": y * (d - every.sum(axis=-1, keepdims=True)), "unweighted": d - total, "none": d,
        }[what]  # fmt: skip

    y = scene.made_by(row)
    return Back((Contribution((f"grad:{y}", y), back),), padding=what == "gradient")


# -- sums and factors --------------------------------------------------------------------------------------------------


def _assignments(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("rows' gradients are assigned, where they should be added up: of an id that comes twice, the "
                      "last one counts", "last")  # fmt: skip
    yield Possibility("only the first text's gradients count; they are added up over all", "first text")
    yield Possibility("a row's gradient is divided by how often its id comes (scale_grad_by_freq)", "frequency")


def _assigned(scene: Scene, row: TensorRow, how: str) -> Back | None:
    """The gradient of a table, made otherwise of those of the rows that were taken out of it."""
    ids = np.asarray(scene.replay.graph.arithmetic.ids(scene.rows[scene.made_by(row)]))
    name, times = row.parameters[0].name, np.bincount(ids.reshape(-1))
    if how == "frequency" and len(set(times[times > 0])) == 1:
        return None  # which is an average

    def spread(d: Values) -> Values:
        table = np.zeros(scene.params[name].shape)
        if how == "last":
            table[ids.reshape(-1)] = rows_of(d)  # of several assignments to a row, NumPy keeps the last
            return table
        n = 1 if how == "first text" else len(ids)
        np.add.at(table, ids[:n].reshape(-1), rows_of(d[:n]))
        if how == "frequency":
            table[: len(times)] /= np.maximum(times, 1)[:, None]
        return table

    return Back((), {name: Contribution((f"grad:{scene.made_by(row)}",), spread)})


def _padding_missing(scene: Scene, row: TensorRow, _: Any) -> Back | None:
    def without(gradient: Values) -> Values:
        rows = np.arange(len(gradient)) != scene.case.config.pad_token_id
        return gradient * rows[:, None]

    return _parameter(scene, row, 0, without)


def _counted_twice(scene: Scene, row: TensorRow, i: int) -> Back | None:
    return inputs_times(scene, row, {i: 2.0}) if i < len(row.inputs) else None


def _sides_swapped(scene: Scene, row: TensorRow, _: Any) -> Back:
    query, key = scene.backward(row)
    return Back((key, query))


def _divisors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for i in range(len(row.parameters)):
        for words in ("texts", "tokens", "positions, padding as well"):
            yield Possibility(f"the number of {words}", (i, words))


def _averaged(scene: Scene, row: TensorRow, value: tuple[int, str]) -> Back | None:
    i, words = value
    B, S = scene.case.batch.input_ids.shape
    number = {"texts": B, "tokens": int(scene.case.batch.attention_mask.sum())}.get(words, B * S)
    return _parameter(scene, row, i, lambda gradient: gradient / number) if i < len(row.parameters) else None


def _transposed(scene: Scene, row: TensorRow, _: Any) -> Back | None:
    shape = scene.params[row.parameters[0].name].shape
    return _parameter(scene, row, 0, lambda gradient: gradient.T) if shape[0] == shape[1] else None


FACTORS = {
    "1/2": 0.5, "2": 2.0, "1/4": 0.25, "4": 4.0, "1/8": 0.125, "8": 8.0, "0": 0.0, "-1": -1.0,
    **{f"{2**n}, a loss scale that isn't divided out": 2.0**n for n in (7, 10, 12, 13, 15, 16)},
}  # fmt: skip


def _loss_factors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for i, name in enumerate(row.inputs or ("loss.total",)):
        for words, factor in FACTORS.items():
            yield Possibility(f"{name} is multiplied by {words}", (i, factor))


def _loss_scaled(scene: Scene, row: TensorRow, value: tuple[int, float]) -> Back | None:
    i, factor = value
    if row.name == START.name:
        return Back((Contribution((), lambda: np.full((), factor)),))
    return inputs_times(scene, row, {i: factor}) if i < len(row.inputs) else None


def _accumulations(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("2 times what they should be", 2.0)
    yield Possibility("half of what they should be", 0.5)


def _accumulated(scene: Scene, row: TensorRow, factor: float) -> Back | None:
    """Where gradients of tensors were recorded: else it may be the loss that is multiplied."""
    if not any(f"grad:{name}" in scene.values for name in scene.rows):
        return None
    parts = scene.parameters(row)
    return Back((), {name: scaled(part, factor) for name, part in parts.items()}) if parts else None


def _untransposed(scene: Scene, row: TensorRow, _: Any) -> Back:
    """The gradient of keys, or of values, made with a matrix that isn't transposed: of scores' gradients, of probs."""
    heads, first = scene.case.config.num_attention_heads, scene.backward(row)[0]
    made_by, of_keys = f"grad:{scene.made_by(row)}", row.op.startswith("scores")
    factor = scene.replay.graph.arithmetic.scale if of_keys else 1.0

    def back(d: Values, x: Values) -> Values:
        return merged(factor * d @ by_head(x, heads) if of_keys else x @ by_head(d, heads))

    return Back((first, Contribution((made_by, row.inputs[0]), back)), padding=True)


def _back(id: str, applies: Callable[[TensorRow], bool], make: Make, words: str | Callable[[Told], str], patch: str,
          **more: Any) -> Hypothesis:  # fmt: skip
    said = words if callable(words) else lambda told: f"the way back of {_names(told)}: {words}"
    return Hypothesis(f"backward.{id}", applies, make, said, WHERE, patch, **more)


def _of_loss(row: TensorRow) -> bool:
    return row.name == START.name or (row.name == f"{BACK} loss.total" and row.op == f"add {BACK}")


HYPOTHESES = (
    _back("detached", back_of(), _detached,
          lambda told: f"no gradient goes back from {_names(told)} to {told.choice}",
          "let the gradient through, or leave out detach and stop_gradient", choices=_inputs),
    _back("frozen", back_of(), _without_gradient(False),
          lambda told: f"{told.choice} has no gradient ({_names(told)})", "let it be trained", choices=_parameters),
    _back("tied_path", back_of("lookup", "decoder"), _without_gradient(True),
          lambda told: f"the gradient of {told.choice}, a table that is used twice, lacks the one that it gets through "
                       f"{_names(told)}",
          "add both gradients of a tied table", choices=_parameters),
    _back("activation_slope", back_of("activation"), _by_slope,
          lambda told: f"the derivative of the activation at {_names(told)} is that of {told.choice}",
          "use the derivative of the function that the forward pass applies", choices=_slopes),
    _back("softmax", back_of("masked_softmax"), _by_softmax,
          lambda told: f"the gradient of the softmax at {_names(told)} is {told.choice}", "y * (dy - sum(y * dy))",
          choices=_softmax_gradients),
    _back("norm_statistics", back_of("layer_norm"), _constant_statistics,
          lambda told: f"the way back of {_names(told)}: {told.choice}",
          "subtract the mean of the gradient, and the part along the normalised input", choices=_statistics),
    _back("gamma_from_output", back_of("layer_norm"), _gamma_from,
          lambda told: f"the gradient of gamma at {_names(told)} is made of {told.choice}; it is made of the "
                       "normalised input",
          "sum dy times the normalised input", choices=_wrong_factors),
    _back("scale", back_of("scores"), _unscaled,
          lambda told: f"the gradient of {told.choice} lacks the factor of the scores ({_names(told)})",
          "multiply by 1/sqrt(head size) on the way back, too", choices=_scale_sides),
    _back("assigned", back_of("lookup"), _assigned,
          lambda told: f"the way back of {_names(told)}: {told.choice}", "np.add.at, index_add, scatter_add",
          choices=_assignments),
    _back("padding_row", back_of("decoder"), _padding_missing,
          lambda told: "the row of the padding token has no gradient from the table's use as the decoder "
                       f"({_names(told)})",
          "leave out padding where words are looked up, not in the table's whole gradient"),
    _back("counted_twice", back_of("residual", "add"), _counted_twice,
          lambda told: f"the gradient that {told.choice} gets through {_names(told)} is added twice",
          "add it once: dx = d + the branch's", choices=_inputs),
    _back("sides_swapped", back_of("scores"), _sides_swapped,
          lambda told: f"the gradients of query and key ({_names(told)}) are exchanged", "dq = ds @ k, dk = ds.T @ q"),
    _back("norm_swapped", back_of("layer_norm"), _exchanged,
          "the gradients of gamma and beta are exchanged", "gamma's is the sum of dy times the normalised input"),
    _back("averaged", back_of("lookup", "dense", "decoder", "layer_norm"), _averaged,
          lambda told: f"the gradient of a parameter of {_names(told)} is divided by {told.choice}; it is a sum",
          "sum over all rows and positions", choices=_divisors),
    _back("transposed", back_of("dense", "decoder"), _transposed,
          "the gradient of the matrix is transposed", "dy.T @ x for a matrix (out, in)"),
    _back("untransposed", back_of("scores", "context"), _untransposed,
          lambda told: f"the gradient of the keys, or values, at {_names(told)} is made of the scores' gradient, or of "
                       "probs, as it is; it is made of its transpose",
          "dk = ds.T @ q, dv = probs.T @ d"),
    _back("accumulated", back_of(), _accumulated,
          lambda told: f"the gradients of all parameters are {told.choice}, and those of tensors are right",
          "zero_grad() before every step; divide once where gradients are accumulated", choices=_accumulations,
          together=all_rows),
    _back("loss_scale", _of_loss, _loss_scaled,
          lambda told: f"on the way back {told.choice}", "divide once, forward and backward alike",
          choices=_loss_factors),
)  # fmt: skip
