"""The way back of a forward pass that is right: paths without a gradient, gradients exchanged, sums and factors.

A row's way back is a row of its own (`scene.BACK`).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.arithmetic import RowArithmetic
from ...graph.axes import kind
from ...graph.contribution import Contribution, added
from ..hypothesis import Hypothesis, Possibility, Told, all_rows
from ..scene import BACK, START, Back, Scene
from .heads import by_head, merged
from .tools import inputs_times, number_of_rows, rows_of, scaled

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


def names_of(told: Told) -> str:
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


# -- exchanged, and without the scale ----------------------------------------------------------------------------------


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


# -- sums and factors --------------------------------------------------------------------------------------------------


def _assignments(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    last = "rows' gradients are assigned, where they should be added up: of an id that comes twice, the last one counts"
    yield Possibility(last, ("last", "all"))
    yield Possibility(f"{last}; padding doesn't come", ("last", "tokens"))
    table = "rows' gradients are assigned, so that the one that the table gets as a decoder is lost there"
    yield Possibility(table, ("over", "all"))
    yield Possibility(f"{table}; padding doesn't come", ("over", "tokens"))
    yield Possibility("only the first text's gradients count; they are added up over all", "first text")
    yield Possibility("a row's gradient is divided by how often its id comes (scale_grad_by_freq)", "frequency")
    for words in ("input ids", "positions", "token types"):
        yield Possibility(f"gradients are added to the rows of the {words}", ("ids", words))
    yield Possibility("gradients are added to the row of the text's number", ("ids", "texts"))
    yield Possibility("gradients are added to the row after the id's", ("ids", 1))
    yield Possibility("gradients are added to the row before the id's", ("ids", -1))


def _other_ids(scene: Scene, ids: Values, which: str | int, length: int) -> Values | None:
    """Other ids (B, S) than a lookup's; None: the table of this length doesn't have them, or they are the same."""
    batch = scene.case.batch
    if isinstance(which, int):
        return (ids + which) % length
    rows, columns = np.indices(ids.shape)
    other = {"input ids": batch.input_ids, "positions": columns, "token types": batch.token_type_ids, "texts": rows}
    found = np.asarray(other[which])
    return found if found.max() < length and not np.array_equal(found, ids) else None


def _assigned(scene: Scene, row: TensorRow, how: Any) -> Back | None:
    """The gradient of a table, made otherwise of those of the rows that were taken out of it."""
    ids = np.asarray(scene.replay.graph.arithmetic.ids(scene.rows[scene.made_by(row)]))
    name, times = row.parameters[0].name, np.bincount(ids.reshape(-1))
    if how == "frequency" and len(set(times[times > 0])) == 1:
        return None  # which is an average
    if isinstance(how, tuple) and how[0] != "ids":
        return _last_assigned(scene, row, ids, *how)
    at = _other_ids(scene, ids, how[1], len(scene.params[name])) if isinstance(how, tuple) else ids
    if at is None:
        return None

    def spread(d: Values) -> Values:
        table = np.zeros(scene.params[name].shape)
        n = 1 if how == "first text" else len(ids)
        np.add.at(table, at[:n].reshape(-1), rows_of(d[:n]))
        if how == "frequency":
            table[: len(times)] /= np.maximum(times, 1)[:, None]
        return table

    return Back((), {name: Contribution((f"grad:{scene.made_by(row)}",), spread)})


def _last_assigned(scene: Scene, row: TensorRow, ids: Values, what: str, which: str) -> Back | None:
    """The last gradient of each id, in the place of what other rows give to the table, too, if it is assigned "over"
    that."""
    graph, name, own = scene.replay.graph, row.parameters[0].name, scene.made_by(row)
    tokens = np.ones(ids.shape, bool) if which == "all" else scene.case.batch.attention_mask.astype(bool)
    others = [graph.parameter_of(one, name) for one in graph.users[name] if one.name != own and what == "over"]
    if what == "over" and not others:
        return None
    rest = added(others) if others else Contribution((), lambda: 0.0)

    def spread(d: Values, *inputs: Values) -> Values:
        table = np.zeros(scene.params[name].shape)
        table[ids[tokens]] = d[tokens]  # of several assignments to a row, NumPy keeps the last
        touched = np.isin(np.arange(len(table)), ids[tokens])[:, None]
        return table - touched * rest.compute(*inputs)

    return Back((), {name: Contribution((f"grad:{own}", *rest.inputs), spread)})


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
    for i in (*range(len(row.parameters)), None) if len(row.parameters) > 1 else (0,):
        for words in ("texts", "rows that it is a sum of", "rows that it is a sum of, padding as well"):
            yield Possibility(f"the number of {words}", (i, words))


def _averaged(scene: Scene, row: TensorRow, value: tuple[int | None, str]) -> Back | None:
    i, words = value
    number = len(scene.case.batch.input_ids)
    if words != "texts":
        number = number_of_rows(scene, scene.made_by(row), padding=words.endswith("well"))
    return _parameters_made(scene, row, i, lambda part: scaled(part, 1 / number))


def _parameters_made(
    scene: Scene, row: TensorRow, i: int | None, change: Callable[[Contribution], Contribution]
) -> Back | None:
    """The gradient of one of a row's own parameters changed, or those of all (i is None)."""
    parts, names = scene.parameters(row), [name for name, _ in row.parameters]
    changed = names if i is None else names[i : i + 1]
    if not changed or not parts.keys() >= set(changed):
        return None
    return Back((), {**parts, **{name: change(parts[name]) for name in changed}})


def _shares(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for i, words in ((0, "its weight"), (1, "its bias"), (None, "all its parameters")):
        for share in ("last text", "first text", "last position", "first position"):
            yield Possibility(f"the gradient of {words} is that of the {share} alone; it is a sum", (i, share))
    yield Possibility("the gradient of its bias is a sum over the channels, too, one number for all of them", "total")


CANCELLED = 1e-6
"""Of the sum of absolute values: what a sum in float32 may be off. Larger: more sums are taken as the subject has them;
smaller: some whose terms cancel count as wrong."""


def _total(d: Values, seen: Values | None) -> Values:
    """The sum of all elements; where they cancel, as a norm's gradients do over the channels, the one number that the
    subject has, if that is as near as rounding."""
    total = d.sum()
    if seen is not None and np.all(seen == seen[0]) and abs(seen[0] - total) <= CANCELLED * np.abs(d).sum():
        return np.float64(seen[0])
    return total


def _of_a_share(scene: Scene, row: TensorRow, value: Any) -> Back | None:
    """The gradients of parameters, made of some rows alone; or that of the bias, summed up to one number."""
    if value == "total":
        seen = scene.values.get(f"grad:{row.parameters[1].name}")
        return _parameters_made(scene, row, 1, lambda part: part._replace(
            compute=lambda d, *_: np.full(d.shape[-1:], _total(d, seen)), terms=None,
        ))  # fmt: skip
    (i, share), axes = value, len(scene.replay.graph.axes(scene.made_by(row)).shape)
    axis, at = int(share.endswith("position")), -1 if share.startswith("last") else 0
    if axes < 2 + axis:
        return None

    def of(part: Contribution) -> Contribution:
        def made(d: Values, *inputs: Values) -> Values:
            kept = np.zeros(d.shape[axis])
            kept[at] = 1.0
            return part.compute(d * np.expand_dims(kept, tuple(n for n in range(d.ndim) if n != axis)), *inputs)

        return part._replace(compute=made, terms=None)

    return _parameters_made(scene, row, i, of)


def _transpositions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the gradient of the matrix is transposed", "gradient")
    yield Possibility("the gradient of the input is made with the transposed matrix", "matrix")


def _transposed(scene: Scene, row: TensorRow, what: str) -> Back | None:
    name = row.parameters[0].name
    matrix = scene.params[name]
    if matrix.shape[0] != matrix.shape[1]:
        return None
    if what == "gradient":
        return _parameter(scene, row, 0, lambda gradient: gradient.T)
    base = scene.rows[scene.made_by(row)]
    return Back((RowArithmetic(scene.case, {**scene.params, name: matrix.T}).backward(base, 0),))


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


def back(id: str, applies: Callable[[TensorRow], bool], make: Make, words: str | Callable[[Told], str], patch: str,
         **more: Any) -> Hypothesis:  # fmt: skip
    """A hypothesis about ways back."""
    said = words if callable(words) else lambda told: f"the way back of {names_of(told)}: {words}"
    return Hypothesis(f"backward.{id}", applies, make, said, WHERE, patch, **more)


def _of_loss(row: TensorRow) -> bool:
    return row.name == START.name or (row.name == f"{BACK} loss.total" and row.op == f"add {BACK}")


HYPOTHESES = (
    back("detached", back_of(), _detached,
         lambda told: f"no gradient goes back from {names_of(told)} to {told.choice}",
         "let the gradient through, or leave out detach and stop_gradient", choices=_inputs),
    back("frozen", back_of(), _without_gradient(False),
         lambda told: f"{told.choice} has no gradient ({names_of(told)})", "let it be trained", choices=_parameters),
    back("tied_path", back_of("lookup", "decoder"), _without_gradient(True),
         lambda told: f"the gradient of {told.choice}, a table that is used twice, lacks the one that it gets through "
                      f"{names_of(told)}",
         "add both gradients of a tied table", choices=_parameters),
    back("scale", back_of("scores"), _unscaled,
         lambda told: f"the gradient of {told.choice} lacks the factor of the scores ({names_of(told)})",
         "multiply by 1/sqrt(head size) on the way back, too", choices=_scale_sides),
    back("assigned", back_of("lookup"), _assigned,
         lambda told: f"the way back of {names_of(told)}: {told.choice}", "np.add.at, index_add, scatter_add",
         choices=_assignments),
    back("padding_row", back_of("decoder"), _padding_missing,
         lambda told: "the row of the padding token has no gradient from the table's use as the decoder "
                      f"({names_of(told)})",
         "leave out padding where words are looked up, not in the table's whole gradient"),
    back("counted_twice", back_of("residual", "add"), _counted_twice,
         lambda told: f"the gradient that {told.choice} gets through {names_of(told)} is added twice",
         "add it once: dx = d + the branch's", choices=_inputs),
    back("sides_swapped", back_of("scores"), _sides_swapped,
         lambda told: f"the gradients of query and key ({names_of(told)}) are exchanged", "dq = ds @ k, dk = ds.T @ q"),
    back("norm_swapped", back_of("layer_norm"), _exchanged,
         "the gradients of gamma and beta are exchanged", "gamma's is the sum of dy times the normalised input"),
    back("averaged", back_of("lookup", "dense", "decoder", "layer_norm"), _averaged,
         lambda told: f"the gradient of a parameter of {names_of(told)} is divided by {told.choice}; it is a sum",
         "sum over all rows and positions", choices=_divisors),
    back("transposed", back_of("dense", "decoder"), _transposed,
         lambda told: f"the way back of {names_of(told)}: {told.choice}",
         "dw = dy.T @ x, dx = dy @ w for a matrix (out, in)", choices=_transpositions),
    back("share", back_of("dense", "decoder", "layer_norm"), _of_a_share,
         lambda told: f"the way back of {names_of(told)}: {told.choice}",
         "add up over all texts and positions, and over nothing else", choices=_shares),
    back("untransposed", back_of("scores", "context"), _untransposed,
         lambda told: f"the gradient of the keys, or values, at {names_of(told)} is made of the scores' gradient, or "
                      "of probs, as it is; it is made of its transpose",
         "dk = ds.T @ q, dv = probs.T @ d"),
    back("accumulated", back_of(), _accumulated,
         lambda told: f"the gradients of all parameters are {told.choice}, and those of tensors are right",
         "zero_grad() before every step; divide once where gradients are accumulated", choices=_accumulations,
         together=all_rows),
    back("loss_scale", _of_loss, _loss_scaled,
         lambda told: f"on the way back {told.choice}",
         "divide once, forward and backward alike, and begin each step with gradients of 0",
         choices=_loss_factors),
)  # fmt: skip
