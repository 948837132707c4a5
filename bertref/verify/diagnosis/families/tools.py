"""What several families need: rows made of other formulas, of other weights, and tensors by their place in the network.
"""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ....topology import last_embedding, layer_input
from ...emulation.formats import FORMATS, Format, nearest
from ...graph.arithmetic import RowArithmetic
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Possibility
from ..scene import BACK, Back, Scene
from ..tape import Traced, rounded

Values = Any
HALF = FORMATS["float16"]
ARGUMENT = {"torch": "the argument in forward", "JAX": "the argument", "NumPy": "the argument", "C": "the pointer"}
"""Where it stands which tensor a step reads."""
BACKWARD = {"torch": "the backward of a torch.autograd.Function", "JAX": "the rule of a custom_vjp"}
"""Where ways back are written out in the libraries that make others by themselves."""


def formula(row: TensorRow, compute: Callable[..., Values]) -> Rewritten:
    """The row made of its inputs by another formula. Elementwise ones are judged along their input, as the row is."""
    along = row.inputs[0] if row.op in ("activation", "tanh", "relu") else ""
    return Rewritten(Contribution(row.inputs, compute, along))


def sum_of(row: TensorRow, times: Mapping[str, float]) -> Rewritten:
    """The sum of the row's inputs, some of them multiplied."""
    factors = [times.get(name, 1) for name in row.inputs]
    return formula(row, lambda *parts: sum(n * part for n, part in zip(factors, parts, strict=True)))


def by(arithmetic: RowArithmetic, row: TensorRow, *, parameters: bool = True) -> Rewritten:
    """The row as another arithmetic computes it, and its gradients; unless `parameters`, these are left out."""
    back = tuple(arithmetic.backward(row, i) for i in range(len(row.inputs)))
    kept = {one.name: arithmetic.parameter(row, i) for i, one in enumerate(row.parameters)} if parameters else None
    return Rewritten(arithmetic.forward(row), back, kept)


def with_parameters(scene: Scene, row: TensorRow, values: Mapping[str, Values]) -> Rewritten:
    """The row with other values of its parameters; in a quantised graph, as this stores them."""
    held = scene.as_stored(row, values)
    return by(RowArithmetic(scene.case, ChainMap(held, dict(scene.params))), row, parameters=False)


def with_others(scene: Scene, row: TensorRow, names: Sequence[str]) -> Rewritten | None:
    """The row with the parameters of these names in place of its own, which get its gradients; None where their shapes
    are others."""
    values = {own.name: scene.params[name] for own, name in zip(row.parameters, names, strict=True)}
    if any(scene.params[own].shape != value.shape for own, value in values.items()):
        return None
    found = RowArithmetic(scene.case, scene.params)
    gradients = {name: found.parameter(row, i) for i, name in enumerate(names)}  # whatever the numbers are
    return replace(with_parameters(scene, row, values), parameters=gradients, weights=tuple(names))


def layer_of(row: TensorRow) -> int | None:
    """The number of the layer that a row belongs to; None: it is outside of the layers."""
    parts = row.name.split(".")
    return int(parts[1]) if parts[0] == "layer" else None


def reads_what_is_right(scene: Scene, row: TensorRow) -> bool:
    """Whether a row's inputs are what the reference makes. Where one had to be explained, it may be another tensor that
    was recorded under its name, and what seems to be read in its place may be the input itself."""
    return not any(scene.replay.graph.is_rewritten(name) for name in row.inputs)


def is_way_back(row: TensorRow) -> bool:
    """For hypotheses under which other things have a gradient than those that are recorded."""
    return row.name.startswith(BACK)


def scaled(part: Contribution, factor: float) -> Contribution:
    """A gradient times a factor."""
    return part._replace(compute=lambda *inputs: factor * part.compute(*inputs), terms=None)


def inputs_times(scene: Scene, row: TensorRow, factors: dict[int, float]) -> Back:
    """A row's way back, with the gradients of these inputs times a factor."""
    parts = scene.backward(row)
    return Back(tuple(scaled(part, factors[i]) if i in factors else part for i, part in enumerate(parts)))


def is_fine(scene: Scene) -> bool:
    """Whether the subject computes in a precision beside which the rounding of half precision shows."""
    return scene.precision in ("float64", "float32")


SLACK = 4e-6
"""How far from the middle between two half-precision numbers, relatively, a float32 computation may fall to either
side. Larger: more elements are taken as the subject has them; smaller: some that it rounded to the other side count as
wrong."""


def held(x: Values, to: Format) -> Values:
    """x as numbers of a format."""
    return rounded(x, lambda value: nearest(np.asarray(value), to).astype(np.float64))


def in_half(y: Values, seen: Values | None) -> Values:
    """y rounded to float16, as something computed in float32 is. Where the two neighbours are as near as the error of
    such a computation, the subject's own number is taken, if it is one of them."""
    if isinstance(y, Traced):
        return rounded(y, lambda value: in_half(value, seen))
    found = held(y, HALF)
    if seen is None:
        return found
    for side in (1 - SLACK, 1 + SLACK):
        other = held(y * side, HALF)
        found = np.where(np.abs(other - seen) < np.abs(found - seen), other, found)
    return found


WIDE = (
    "query", "key", "value", "context", "attention_output", "attention_sum", "attention_norm", "ffn_output", "ffn_sum",
    "output",
)  # fmt: skip
"""The tensors of a layer that are as wide as the model."""


def places(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """Where a tensor as wide as the model can be found, as seen from a row: a choice's value is a pair of "layer", the
    number of layers to go forward from the row's own, and the name in that layer; or "", 0 and a name of its own."""
    inside, last = layer_of(row) is not None, scene.case.config.num_hidden_layers - 1
    if inside:
        yield Possibility("what the layer reads", ("layer", 0, ""))
    for name in WIDE:
        if inside:
            yield Possibility(f"{name} of the same layer", ("layer", 0, name))
            yield Possibility(f"{name} of the layer before", ("layer", -1, name))
        else:
            yield Possibility(f"{name} of the last layer", ("end", 0, name))
            if last:
                yield Possibility(f"{name} of the layer before the last", ("end", -1, name))
    yield Possibility("the normed embeddings", ("", 0, "embeddings.norm"))
    yield Possibility("the sum of the embeddings", ("", 0, "embeddings.sum"))


def found_at(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> str | None:
    """The name of the tensor at a place; None: there is none, or it is made only after the row's."""
    start, shift, name = place
    own = layer_of(row)
    if not start:
        found = name
    else:
        from_ = scene.case.config.num_hidden_layers - 1 if start == "end" else own
        if from_ is None or from_ + shift < 0:
            return None
        i = from_ + shift
        found = f"layer.{i}.{name}" if name else layer_input(i, last_embedding(scene.case.config))
    order = list(scene.rows)
    if found not in scene.rows or order.index(found) >= order.index(row.name):
        return None
    wide = scene.replay.graph.axes(found).shape[-1] == scene.case.config.hidden_size  # not of factorised embeddings
    return found if wide else None


def rows_of(x: Values) -> Values:
    return x.reshape(-1, x.shape[-1])


def number_of_rows(scene: Scene, name: str, *, padding: bool) -> int:
    """How many rows a tensor has: texts, predictions, choices or tokens; positions, with `padding`."""
    row, shape = scene.rows[name], scene.replay.graph.axes(name).shape
    if row.counts == "tokens" and not padding:
        return int(scene.case.batch.attention_mask.sum())
    return int(np.prod(shape if row.axes == "B C" else shape[:-1]))


def gathered(scene: Scene, x: Values) -> Values:
    """The rows at the predictions, (B, P, H), of (B, S, H)."""
    return np.take_along_axis(x, scene.case.batch.masked_lm_positions[..., None].astype(np.int64), axis=1)
