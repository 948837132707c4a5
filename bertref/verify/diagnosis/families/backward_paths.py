"""The way back of a forward pass that is right: what gradients are made with, and where they arrive."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from ....row import TensorRow
from ...graph.contribution import Contribution
from ..hypothesis import Possibility, by_layer, row_by_row
from ..scene import BACK, Back, Scene
from .backward import back, back_of, names_of
from .tools import inputs_times, layer_of, scaled

Values = Any
READERS = ("query", "key", "value", "attention_sum")
"""What of a layer reads its input, and gives it a gradient."""
INSIDE = (
    "query", "key", "value", "context", "attention_output", "attention_sum", "attention_norm", "ffn_pre", "ffn_act",
    "ffn_output", "ffn_sum", "output",
)  # fmt: skip
"""The tensors of a layer that have a row for each position."""
HEAD = ("pooled_pre", "pooled", "mlm.dense", "mlm.act", "mlm.transform")
"""Those of the heads of pre-training, of which some have the same shape."""


def _short(scene: Scene, row: TensorRow) -> str:
    """The name of the tensor whose way back a row is, in its layer."""
    name = scene.made_by(row)
    return name if layer_of(scene.rows[name]) is None else name.split(".", 2)[2]


def _beside(scene: Scene, row: TensorRow, name: str) -> str | None:
    """The tensor of this name, in the layer of the row whose way back this is; None: there is none."""
    i = layer_of(scene.rows[scene.made_by(row)])
    found = name if i is None else f"layer.{i}.{name}"
    return found if found in scene.rows else None


def _same_shape(scene: Scene, one: str, other: str) -> bool:
    axes = scene.replay.graph.axes
    return axes(one).shape == axes(other).shape


# -- what is lost ------------------------------------------------------------------------------------------------------


def _left_out(scene: Scene, row: TensorRow, _: Any) -> Back | None:
    """Neither the row's input nor its parameters get a gradient; where these weren't recorded, "detached" says as much.
    """
    parts = {name: scaled(part, 0.0) for name, part in scene.parameters(row).items()}
    recorded = any(name.startswith("grad:") for name in scene.values)
    if recorded and not any(f"grad:{name}" in scene.values for name in parts):
        return None
    return Back(inputs_times(scene, row, {0: 0.0}).inputs, parts)


def _overwritten(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for n in (2, 3):
        for lost in combinations(READERS, n):
            if lost == READERS[:3]:
                continue  # as "detached" says
            kept = " and ".join(name for name in READERS if name not in lost)
            yield Possibility(kept, lost)


def _lost(scene: Scene, row: TensorRow, lost: tuple[str, ...]) -> Back | None:
    name = _short(scene, row)
    return inputs_times(scene, row, {int(name == "attention_sum"): 0.0}) if name in lost else None


# -- what is read ------------------------------------------------------------------------------------------------------


def _factors(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """A choice's value is the input whose gradient is concerned, "" for the matrix, and what that is made with."""
    own, i = scene.rows[scene.made_by(row)], layer_of(scene.rows[scene.made_by(row)])
    if own.op == "dense":
        yield Possibility("the gradient of the matrix is made with its output, not with its input", ("", ""))
        for name in HEAD if i is None else INSIDE:
            yield Possibility(f"the gradient of the matrix is made with {name}, not with its input", ("", name))
        return
    sides = _sides(row)
    for at, side in enumerate(sides):
        others = ("scores", "grad:scores", "grad:probs") if side == "value" else (*READERS[:3], "context")
        for other in others:
            if other != sides[1 - at]:
                words = f"the gradient of {side} is made with {other}, not with {sides[1 - at]}"
                yield Possibility(words, (side, other))


def _made_with(scene: Scene, row: TensorRow, value: tuple[str, str]) -> Back | None:
    """A gradient that is made with another tensor of the same shape. One of another formula is made with more."""
    side, (start, _, name) = value[0], value[1].rpartition(":")
    found = _beside(scene, row, name) if name else scene.made_by(row)
    own, parts, sides = scene.rows[scene.made_by(row)], scene.parameters(row), _sides(row)
    if found is None or (own.op == "dense") is bool(side) or (side and side not in sides):
        return None
    read = row.inputs[1 - sides.index(side)] if side else row.inputs[0]
    if found == read or not _same_shape(scene, found, read):
        return None
    if not side:
        matrix = row.parameters[0].name
        if matrix not in parts or len(parts[matrix].inputs) != 2:
            return None
        return Back((), {**parts, matrix: _with_second(parts[matrix], found)})
    made, at = list(scene.backward(row)), sides.index(side)
    if len(made) != 2 or len(made[at].inputs) != 2:
        return None
    made[at] = _with_second(made[at], f"grad:{found}" if start else found)
    return Back(tuple(made))


def _sides(row: TensorRow) -> list[str]:
    """The inputs of scores, or of a context, by their names in the layer."""
    return [name.rpartition(".")[2] for name in row.inputs]


def _with_second(part: Contribution, name: str) -> Contribution:
    return part._replace(inputs=(part.inputs[0], name), terms=None)


def _gradients(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """The name of a tensor whose gradient is read, and whether the residual stream alone gets it."""
    for name in INSIDE:
        if name not in ("attention_output", "ffn_output"):  # whose gradients are those of the sums
            yield Possibility(f"reads the gradient of {name}", (name, False))
            if row.op.startswith("residual"):
                yield Possibility(f"hands the gradient of {name} to the residual stream", (name, True))


def _reads_gradient(scene: Scene, row: TensorRow, value: tuple[str, bool]) -> Back | None:
    """A way back that reads the gradient of another tensor of the same shape, of one that is known by then."""
    name, stream = value
    own, found, order = scene.made_by(row), _beside(scene, row, name), list(scene.rows)
    if found is None or found == own or not _same_shape(scene, found, own):
        return None
    siblings = scene.rows[found].inputs == row.inputs
    if layer_of(scene.rows[own]) is None or (order.index(found) < order.index(own) and not siblings):
        return None
    if stream and not row.op.startswith("residual"):
        return None
    sides, read = scene.backward(row), f"grad:{found}"
    if stream:
        return Back((sides[0], _with_first(sides[1], read)))
    parts = {one: _with_first(part, read) for one, part in scene.parameters(row).items()}
    return Back(tuple(_with_first(side, read) for side in sides), parts or None)


def _with_first(part: Contribution, name: str) -> Contribution:
    return part._replace(inputs=(name, *part.inputs[1:]), terms=None)


def _back_named(*names: str) -> Callable[[TensorRow], bool]:
    """The ways back of these tensors of layers."""
    return lambda row: row.name.startswith(f"{BACK} layer.") and row.name.rpartition(".")[2] in names


HYPOTHESES = (
    back("left_out", back_of("dense", "layer_norm"), _left_out,
         "it is left out: neither its input nor its parameters get a gradient", "call the step's way back"),
    back("overwritten", _back_named(*READERS), _lost,
         lambda told: f"the input of a layer gets the gradients from {told.choice} alone {told.in_layers}; it is the "
                      "sum of those from query, key, value and the residual connection",
         "dx += ..., not dx = ...", choices=_overwritten, together=by_layer),
    back("made_with", back_of("dense", "scores", "context"), _made_with,
         lambda told: f"the way back of {names_of(told)}: {told.choice}",
         "use the tensor that the forward pass read there, as it was then, not changed in place", choices=_factors,
         together=row_by_row),
    back("reads", back_of("dense", "layer_norm", "residual"), _reads_gradient,
         lambda told: f"the way back of {names_of(told)} {told.choice}; it reads that of what the step made",
         "hand each step the gradient of its own output", choices=_gradients, together=row_by_row),
)  # fmt: skip
