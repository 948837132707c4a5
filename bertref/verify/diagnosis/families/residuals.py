"""Residual connections: what is added to a sublayer's output, and where the norm stands."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ....topology import last_embedding, layer_input
from ...graph.arithmetic import times
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, by_layer, named, of_op
from ..scene import Scene
from .norms import WHERE as NORM
from .norms import norm_of
from .tools import found_at, is_way_back, layer_of, places, reads_what_is_right

Values = Any
WHERE = {
    "torch": "LayerNorm(dense(x) + input_tensor)", "JAX": "norm(dense(x) + residual)",
    "NumPy": "norm(x + dense(context))", "C": "the loop that adds the residual",
}  # fmt: skip


def _from(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    found = found_at(scene, row, place)
    if found is None or found in row.inputs or not reads_what_is_right(scene, row):
        return None
    return Rewritten(Contribution((row.inputs[0], found), lambda branch, other: branch + other))


def _also(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    """With another tensor in the sum, or the branch once more."""
    found = found_at(scene, row, place)
    if found is None or found == row.inputs[1] or not reads_what_is_right(scene, row):
        return None
    return Rewritten(Contribution((*row.inputs, found), lambda branch, stream, other: branch + stream + other))


def _times(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    return Rewritten(Contribution(row.inputs, lambda branch, stream: branch + value * stream))


def _signs(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the sublayer's output less its input", (1, -1))
    yield Possibility("the sublayer's input less its output", (-1, 1))


def _signed(scene: Scene, row: TensorRow, signs: tuple[int, int]) -> Rewritten:
    first, second = signs
    return Rewritten(Contribution(row.inputs, lambda branch, stream: first * branch + second * stream))


def _sum_times(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    factor = value if scene.precision == "float64" else float(np.float32(value))
    return Rewritten(Contribution(row.inputs, lambda branch, stream: factor * (branch + stream)))


def _read_instead(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    """The rows of a layer that read its input, made of another tensor."""
    found, i = found_at(scene, row, place), layer_of(row)
    if i is None or found is None or found in row.inputs:
        return None
    if row.op == "residual":
        return Rewritten(Contribution((row.inputs[0], found), lambda branch, other: branch + other))
    return Rewritten(scene.forward(row)._replace(inputs=(found,), terms=None))


def _inputs(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the output of the layer two before it: the one between is skipped", ("layer", -2, "output"))
    yield Possibility("the normed embeddings", ("", 0, "embeddings.norm"))
    yield Possibility("the sum of the embeddings", ("", 0, "embeddings.sum"))


def _weights(scene: Scene, name: str) -> tuple[str, ...]:
    return tuple(one for one, _ in scene.rows[name].parameters)


def _unread(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("", "")
    yield Possibility("beside a sum that nothing reads", "beside")


def _inside_branch(scene: Scene, row: TensorRow, way: str | None) -> Rewritten | None:
    """norm(branch) + stream. The norm reads the branch alone, and the tensor after it is the sum. What stands for the
    sum before it is the branch, or the sum itself."""
    if way and (row.op == "residual" or not reads_what_is_right(scene, row)):
        return None
    if row.op == "residual":
        return Rewritten(Contribution(row.inputs[:1], lambda branch: branch))
    source = scene.rows[row.inputs[0]]
    if source.op != "residual":
        return None
    norm, inputs = norm_of(scene, row), source.inputs if way else (source.name, source.inputs[1])
    return Rewritten(Contribution(inputs, lambda branch, stream: norm(branch) + stream))


def _half(row: TensorRow) -> str:
    """The sum and the norm of one half of a layer belong together."""
    attention = row.name.rpartition(".")[2].startswith("attention")
    return f"{row.part}, {'attention' if attention else 'feed-forward'}"


def _norm_first(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
    """x + attention(norm(x)), then x + feed_forward(norm(x)), with the same parameters. What stands for a sum in front
    of a norm is what that norm reads."""
    i = layer_of(row)
    assert i is not None, "rows of layers alone are rewritten"
    x = layer_input(i, last_embedding(scene.case.config))
    attended, short = f"layer.{i}.attention_output", row.name.split(".", 2)[2]
    if short in ("query", "key", "value"):
        norm = f"layer.{i}.attention_norm"
        return _made(scene, row, (x,), norm, norm_of(scene, scene.rows[norm]))
    if short == "ffn_pre":
        norm = f"layer.{i}.output"
        through = norm_of(scene, scene.rows[norm])
        return _made(scene, row, (attended, x), norm, lambda branch, given: through(branch + given))
    if short == "attention_sum":
        return Rewritten(Contribution((x,), lambda given: given))
    if short == "ffn_sum":
        return Rewritten(Contribution((attended, x), lambda branch, given: branch + given))
    return Rewritten(
        Contribution((f"layer.{i}.ffn_output", attended, x), lambda second, first, given: second + first + given)
    )


def _made(scene: Scene, row: TensorRow, inputs: tuple[str, ...], norm: str, read: Any) -> Rewritten:
    """A dense row of something else than its input: of what another row's norm makes of it."""
    weight, bias = (scene.params[name] for name, _ in row.parameters)
    part = Contribution(inputs, lambda *given: times(read(*given), weight.T) + bias)
    return Rewritten(part, weights=_weights(scene, norm))


RESIDUAL = of_op("residual")
READS = named("query", "key", "value", "attention_sum")
"""What of a layer reads its input."""

HYPOTHESES = (
    Hypothesis(
        "residual.missing", RESIDUAL,
        lambda scene, row, _: Rewritten(Contribution(row.inputs[:1], lambda branch: branch)),
        lambda told: f"the residual connection is missing at {told.at}: the sublayer's output stands there alone",
        WHERE, "add the sublayer's input",
    ),
    Hypothesis(
        "residual.branch_missing", RESIDUAL,
        lambda scene, row, _: Rewritten(Contribution(row.inputs[1:], lambda stream: stream)),
        lambda told: f"the sublayer adds nothing at {told.at}",
        WHERE, "add the sublayer's output",
    ),
    Hypothesis(
        "residual.from", RESIDUAL, _from,
        lambda told: f"the residual connection at {told.at} starts at {told.choice}; it starts at the sublayer's input",
        WHERE, "add the sublayer's input", choices=places,
    ),
    Hypothesis(
        "residual.also", RESIDUAL, _also,
        lambda told: f"{told.choice} is added at {told.at}, too; the sum is of a sublayer's output and its input, each "
                     "once",
        WHERE, "add the sublayer's input once", choices=places,
    ),
    Hypothesis(
        "residual.scaled", RESIDUAL, _times,
        lambda told: f"the residual connection at {told.at} is multiplied by {told.number}; it is added as it is",
        WHERE, "add the sublayer's input once",
        number=Number("factor", 1e-2, 1e2, lambda scene: {"2": 2.0, "1/2": 0.5},
                      own=lambda scene: 1.0),
    ),
    Hypothesis(
        "residual.signs", RESIDUAL, _signed,
        lambda told: f"at {told.at} stands {told.choice}; they are added",
        WHERE, "add the two", choices=_signs,
    ),
    Hypothesis(
        "residual.sum_scaled", RESIDUAL, _sum_times,
        lambda told: f"the sum of a sublayer's output and its input is multiplied by {told.number} ({told.at}); it is "
                     "taken as it is",
        WHERE, "leave the factor out",
        number=Number("factor", 1e-2, 1e2, lambda scene: {
            "1/2": 0.5, "1/sqrt(2)": 2**-0.5, "sqrt(2)": 2**0.5, "2": 2.0,
        }, own=lambda scene: 1.0),
    ),
    Hypothesis(
        "residual.layer_input", READS, _read_instead,
        lambda told: f"{told.at}: the layer's input is {told.choice}; a layer reads what the one before it gives",
        {"torch": "the loop over layers", "JAX": "the loop over layers", "NumPy": "the loop over layers",
         "C": "the pointers to a layer's input and output"},
        "hand each layer's output to the next one", choices=_inputs, together=by_layer,
    ),
    Hypothesis(
        "residual.norm_inside_branch",
        lambda row: row.name.startswith("layer.") and row.op in ("residual", "layer_norm"), _inside_branch,
        lambda told: f"the norm stands inside the branch, norm(sublayer) + input, {told.in_layers}"
                     f"{told.choice and ', '}{told.choice}; BERT's is norm(sublayer + input)",
        NORM, "normalise the sum", together=_half, choices=_unread,
    ),
    Hypothesis(
        "residual.norm_first", named("query", "key", "value", "ffn_pre", "attention_sum", "ffn_sum", "output"),
        _norm_first,
        lambda told: f"norms stand before the sublayers, as in GPT-2, {told.in_layers}; BERT's stand after the sums",
        NORM, "normalise after each sum", together=by_layer, way_back=False,
        hides=is_way_back,  # what is called a sum there is another tensor
    ),
)  # fmt: skip
