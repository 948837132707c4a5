"""Dense layers: the matrix, the bias, what they are multiplied with, and in which precision."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ...emulation.formats import FORMATS, TF32, Format
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Possibility, Told, by_layer, named, of_op
from ..scene import Scene
from .activations import FUNCTIONS, elementwise
from .tools import (
    ARGUMENT,
    formula,
    found_at,
    gathered,
    held,
    is_fine,
    layer_of,
    places,
    reads_what_is_right,
    with_others,
    with_parameters,
)

Values = Any
WHERE = {
    "torch": "nn.Linear holds (out, in); F.linear(x, weight, bias)",
    "JAX": "a Dense kernel is (in, out): the transpose of torch's",
    "NumPy": "x @ weight.T + bias",
    "C": "y[o] = bias[o] + sum of weight[o * in + i] * x[i]",
}
LOADING = {
    "torch": "the table of names by which a state dict is loaded", "JAX": "the conversion of a checkpoint",
    "NumPy": "the names by which weights are looked up", "C": "the order in which the file's tensors are read",
}  # fmt: skip
PRECISION = {
    "torch": "torch.backends.cuda.matmul.allow_tf32, torch.set_float32_matmul_precision, autocast",
    "JAX": "jax_default_matmul_precision, precision= of dot", "NumPy": "astype before the product",
    "C": "cublasSetMathMode, the compute type of a product",
}  # fmt: skip
DENSE = of_op("dense", "decoder")
PROJECTIONS = ("query", "key", "value")


def _transposed(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    name = row.parameters[0].name
    matrix = scene.params[name]
    return with_parameters(scene, row, {name: matrix.T}) if matrix.shape[0] == matrix.shape[1] else None


def _times_added(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for number in (3, 4, 8):
        yield Possibility(f"{number} times", float(number))


def _functions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words, name in (("the exact GELU", "gelu_erf"), ("GELU's tanh form", "gelu_tanh"), ("ReLU", "relu"),
                        ("tanh", "tanh"), ("the sigmoid", "sigmoid")):  # fmt: skip
        yield Possibility(words, name)


def _activated(scene: Scene, row: TensorRow, name: str) -> Rewritten:
    made = scene.forward(row)
    return formula(row, lambda x: elementwise(FUNCTIONS[name], made.compute(x)))


def _input_activated(scene: Scene, row: TensorRow, name: str) -> Rewritten | None:
    """Where the input was recorded: else it is as if that had another activation."""
    made = scene.forward(row)
    if row.inputs[0] not in scene.values or not reads_what_is_right(scene, row):
        return None
    return formula(row, lambda x: made.compute(elementwise(FUNCTIONS[name], x)))


def _left_out(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """What it reads, handed on."""
    outputs, inputs = scene.params[row.parameters[0].name].shape
    if outputs != inputs:
        return None
    match row.arguments:
        case ("first_token",):
            return formula(row, lambda x: x[:, 0])
        case ("masked_lm_positions",):
            return formula(row, lambda x: gathered(scene, x))
    return formula(row, lambda x: x)


def _bias_times(scene: Scene, row: TensorRow, factor: float) -> Rewritten:
    name = row.parameters[1].name
    return with_parameters(scene, row, {name: factor * scene.params[name]})


# -- other weights -----------------------------------------------------------------------------------------------------


def other_weights(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """Dense layers whose weights may have been taken, as seen from a row: by their name in the same layer, in layers
    counted from its own, or in one of a certain number."""
    if layer_of(row) is None:
        for other in scene.rows.values():
            if other.op == row.op and layer_of(other) is None:
                yield Possibility(other.name, ("", 0, other.name))
        return
    own = row.name.split(".", 2)[2]
    for name in ("query", "key", "value", "attention_output"):
        if name != own:
            yield Possibility(f"{name} of the same layer", ("own", 0, name))
    if scene.case.config.num_hidden_layers > 1:
        yield Possibility("the layer before", ("own", -1, own))
        yield Possibility("the next layer", ("own", 1, own))
        yield Possibility("layer 0", ("", 0, f"layer.0.{own}"))


def other_row(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> TensorRow | None:
    """The row at a place of `other_weights`, if it is another one, with parameters of the same shapes."""
    start, shift, name = place
    other = scene.rows.get(f"layer.{(layer_of(row) or 0) + shift}.{name}" if start else name)
    if other is None or other.name == row.name:
        return None
    shapes = ([scene.params[one.name].shape for one in some.parameters] for some in (row, other))
    return other if next(shapes) == next(shapes) else None


def _of_other(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    other = other_row(scene, row, place)
    return None if other is None else with_others(scene, row, [name for name, _ in other.parameters])


def _layers(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    if scene.case.config.num_hidden_layers > 1:
        yield Possibility("the layer before", -1)
        yield Possibility("the next layer", 1)
        yield Possibility("layer 0", "first")
        yield Possibility("the layer at the same place from the end: their order is reversed", "reversed")


def _of_layer(scene: Scene, row: TensorRow, which: Any) -> Rewritten | None:
    """The gradients have the names of the layer's own parameters."""
    i, config = layer_of(row), scene.case.config
    if i is None or config.stored_layers < config.num_hidden_layers:
        return None
    last = config.num_hidden_layers - 1
    j = last - i if which == "reversed" else 0 if which == "first" else i + which
    if j == i or not 0 <= j <= last:
        return None
    names = {name: name.replace(f"layer.{i}.", f"layer.{j}.") for name, _ in row.parameters}
    made = with_parameters(scene, row, {own: scene.params[other] for own, other in names.items()})
    return replace(made, parameters=scene.parameters(row))


def _packing(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("all of Q, all of K, all of V one after the other, and read as query, key and value of each head "
                      "in turn", "interleaved")  # fmt: skip
    yield Possibility("query, key and value of each head in turn, and read as all of Q, all of K, all of V", "packed")


def _cut_out(scene: Scene, row: TensorRow, order: str) -> Rewritten:
    """The rows of one of the three projections in a matrix of all three that is read in another order than it is
    packed in."""
    start, which = row.name.rpartition(".")[0], PROJECTIONS.index(row.name.rpartition(".")[2])
    three = [scene.rows[f"{start}.{name}"] for name in PROJECTIONS]
    A, D = scene.case.config.num_attention_heads, scene.case.config.head_size

    def cut(i: int) -> Values:
        parts = [scene.params[one.parameters[i].name] for one in three]
        if order == "interleaved":
            index = np.arange(3 * A * D).reshape(A, 3, D)[:, which].reshape(-1)
            return np.concatenate(parts)[index]
        mixed = np.stack([part.reshape(A, D, *part.shape[1:]) for part in parts], axis=1)
        return mixed.reshape(3, A * D, *parts[0].shape[1:])[which]

    made = with_parameters(scene, row, {row.parameters[i].name: cut(i) for i in (0, 1)})
    return replace(made, weights=tuple(name for one in three for name, _ in one.parameters))


# -- other inputs, other precisions ------------------------------------------------------------------------------------


def _reads(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    """The row made of another tensor: of its first token, where the row's own input has one for each text, and of those
    at the predictions, where it has these."""
    found, width = found_at(scene, row, place), scene.params[row.parameters[0].name].shape[1]
    if found is None or found == row.inputs[0] or width != scene.case.config.hidden_size:
        return None
    if not reads_what_is_right(scene, row):
        return None
    made, axes = scene.forward(row), scene.rows[row.inputs[0]].axes

    def compute(x: Values) -> Values:
        return made.compute(x[:, 0] if axes == "B H" else gathered(scene, x) if axes == "B P H" else x)

    return Rewritten(Contribution((found,), compute))


def _rounded(to: Format) -> Callable[[Scene, TensorRow, Any], Rewritten | None]:
    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
        if not is_fine(scene):
            return None
        weight = row.parameters[0].name
        made = with_parameters(scene, row, {weight: held(scene.params[weight], to)})
        return Rewritten(Contribution(row.inputs, lambda x: made.forward.compute(held(x, to))))

    return make


def _products(told: Told) -> str:
    return "products of dense layers" if len(told.names) == told.possible else f"products at {told.at}"


def _precision(id: str, words: str, to: Format) -> Hypothesis:
    return Hypothesis(
        f"dense.{id}", DENSE, _rounded(to),
        lambda told: f"{_products(told)} are of factors that are rounded to {words}",
        PRECISION, "multiply in the precision that the model declares, or verify it as what it is (--precision)",
        way_back=False,
    )  # fmt: skip


HYPOTHESES = (
    Hypothesis(
        "dense.transposed", DENSE, _transposed,
        lambda told: f"the matrix of {told.at} is not transposed: x @ W, where x @ W.T belongs",
        WHERE, "transpose the matrix when it is loaded, or multiply by its transpose",
    ),
    Hypothesis(
        "dense.no_bias", DENSE, lambda scene, row, _: _bias_times(scene, row, 0.0),
        lambda told: f"the bias of {told.at} is not added",
        {**WHERE, "torch": "nn.Linear(..., bias=False), or a bias that was not loaded"}, "add the bias",
    ),
    Hypothesis(
        "dense.bias_twice", DENSE, lambda scene, row, _: _bias_times(scene, row, 2.0),
        lambda told: f"the bias of {told.at} is added twice",
        {**WHERE, "torch": "nn.Linear with a bias, and the bias added once more"}, "add the bias once",
    ),
    Hypothesis(
        "dense.bias_per_part", DENSE, _bias_times, lambda told: f"the bias of {told.at} is added {told.choice}",
        {**WHERE, "torch": "a layer that is split over devices or heads, each of which adds the bias before the sum"},
        "add the bias once, after the sum over all parts", choices=_times_added,
    ),
    Hypothesis(
        "dense.activated", DENSE, _activated,
        lambda told: f"{told.choice} is applied to {told.at}, which has no activation",
        {"torch": "an activation in the wrong module", "JAX": "activation= of a Dense layer",
         "NumPy": "a call too many", "C": "a call too many"},
        "leave it out", choices=_functions,
    ),
    Hypothesis(
        "dense.input_activated", DENSE, _input_activated,
        lambda told: f"{told.choice} is applied to what {told.at} reads, which is read as it is",
        {"torch": "an activation that forward calls twice", "JAX": "a call too many", "NumPy": "a call too many",
         "C": "a call too many"},
        "leave it out", choices=_functions,
    ),
    Hypothesis(
        "dense.missing", DENSE, _left_out, lambda told: f"there is no dense layer at {told.at}: its input is handed on",
        {"torch": "a module that forward does not call", "JAX": "a missing call", "NumPy": "a missing product",
         "C": "a missing product"},
        "apply the dense layer",
    ),
    Hypothesis(
        "dense.other_weights", DENSE, _of_other,
        lambda told: f"{told.at}: computed with the weights of {told.choice}",
        LOADING, "load the layer's own weights", choices=other_weights,
    ),
    Hypothesis(
        "dense.other_layer", lambda row: row.op in ("dense", "layer_norm") and layer_of(row) is not None, _of_layer,
        lambda told: f"all parameters of a layer are those of {told.choice} ({told.in_layers})",
        {**LOADING, "torch": "copy.deepcopy of a layer, or a table of names with another layer's number"},
        "load each layer's own weights", choices=_layers, together=by_layer,
    ),
    Hypothesis(
        "dense.packed_order", named(*PROJECTIONS), _cut_out,
        lambda told: f"the matrix of query, key and value is packed as {told.choice} ({told.in_layers})",
        {**LOADING, "torch": "torch.cat of three weights, or qkv.view(B, S, heads, 3, size)"},
        "pack and read it in the same order", choices=_packing, together=by_layer,
    ),
    Hypothesis(
        "dense.reads", DENSE, _reads, lambda told: f"{told.at}: computed from {told.choice}",
        ARGUMENT,
        "read the tensor that the reference reads", choices=places,
    ),
    _precision("tf32", "10 bits, as TF32 and float16 have them", TF32),
    _precision("bfloat16", "the 7 bits of bfloat16", FORMATS["bfloat16"]),
)  # fmt: skip
