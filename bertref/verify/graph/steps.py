"""The computation as single steps, each of which can be done with anybody's inputs.

A step makes one answer from other answers, the parameters and the batch, with the reference's ops in float64. Applied
to what a subject recorded itself, it tells what the subject should have got from its own inputs: the difference is the
error that *this* step added, whatever went wrong before it.

    forward    layer.3.probs        = softmax of the subject's own layer.3.scores
    backward   grad:layer.3.scores  = softmax's gradient at its own grad:layer.3.probs and layer.3.probs
    parameter  grad:...query.weight = its own grad:layer.3.query times its own layer.2.output
    update     update:NAME          = the optimiser's step from its own gradients

Which steps there are, and what each is made from, follows from the network's table (`topology`): a tensor's gradient
is the sum of what its readers hand back, a parameter's of what the rows that have it make. What is computed is
`arithmetic`'s.

The steps stand in the order of the computation: forward, losses, backward from the loss down (a parameter right after
the gradient that it needs, unless its row reads what its part of the network reads: then at the end of the part),
updates.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends import get
from ...row import TensorRow
from ...topology import readers, users
from ..judgement.reference import CaseUpdates
from ..records import Case
from .arithmetic import RowArithmetic
from .axes import AxesOf, rows_of
from .contribution import Contribution, added
from .order import backward_order

Values = Any
Names = Callable[[TensorRow], tuple[str, ...]]


@dataclass(frozen=True)
class Step:
    """`compute(*inputs)` makes the answer `name` from the answers `inputs`; `along`, `terms` as in a `Contribution`."""

    name: str
    inputs: tuple[str, ...]
    compute: Callable[..., Values]
    along: str = ""
    terms: Callable[..., Values] | None = None


@dataclass(frozen=True)
class Rewritten:
    """A row of the table that is computed otherwise: `forward` makes the tensor, of the row's inputs or of others;
    `backward` the gradients of these, () is what the arithmetic makes for the row's; `parameters` those of all
    parameters that it is made with, by their names, None is what the arithmetic makes. `weights` are those of them
    that aren't the row's own. `padding`: it reads what stands at padded positions, which have a gradient then; `slots`:
    the same of unused slots of predictions."""

    forward: Contribution
    backward: tuple[Contribution, ...] = ()
    parameters: Mapping[str, Contribution] | None = None
    weights: tuple[str, ...] = ()
    padding: bool = False
    slots: bool = False


class Graph:
    """The steps of a case by name, in order. `params` are the weights that the model computes with where they aren't
    the case's own: rounded ones. The optimiser updates the case's own all the same. `gain` multiplies the factor of
    attention's scores, `padding_row` is as in `RowArithmetic`."""

    def __init__(
        self, case: Case, params: Mapping[str, Values] | None = None, *, gain: float = 1.0, padding_row: bool = True
    ) -> None:
        self.case, self._params = case, params
        self.axes = AxesOf(case)
        self.rows = {row.name: row for row in rows_of(case)}
        self._rows = tuple(self.rows.values())
        self.readers, self.users = readers(self._rows), users(self._rows)
        self._rewritten: dict[str, Rewritten] = {}
        self.arithmetic = RowArithmetic(case, case.params if params is None else params, gain, padding_row=padding_row)
        self.steps: dict[str, Step] = {step.name: step for step in (*self._forward(), *self._backward())}
        self.steps |= {step.name: step for step in self._updates()}

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps.values())

    def with_gain(self, gain: float) -> "Graph":
        """The same with another factor of the scores."""
        return Graph(self.case, self._params, gain=gain)

    def without_padding_row(self) -> "Graph":
        """The same, in which words at padded positions get no gradient."""
        return Graph(self.case, self._params, padding_row=False)

    def rewritten(self, rows: Mapping[str, Rewritten]) -> "Graph":
        """The same steps, but for what these rows, by the names of their tensors, make otherwise."""
        other = copy(self)
        other._rewritten, other.steps = {**self._rewritten, **rows}, dict(self.steps)
        other.steps |= {name: _step(name, made.forward) for name, made in rows.items()}
        if not self.case.objective:
            return other
        back = [self.rows[name] for name, made in rows.items() if made.backward]
        other.readers = _turned(self.readers, back, self.reads, other.reads)
        for name in {name for row in back for graph in (self, other) for name in graph.reads(row)}:
            other.steps[f"grad:{name}"] = other._gradient(self.rows[name])
        changed = [self.rows[name] for name, made in rows.items() if made.parameters is not None]
        other.users = _turned(self.users, changed, self.parameters_of, other.parameters_of)
        for name in {name for row in changed for graph in (self, other) for name in graph.parameters_of(row)}:
            other.steps[f"grad:{name}"] = other._parameter(name)
        return other

    def reads(self, row: TensorRow) -> tuple[str, ...]:
        """The tensors that get a gradient through a row."""
        made = self._rewritten.get(row.name)
        return made.forward.inputs if made and made.backward else row.inputs

    def parameters_of(self, row: TensorRow) -> tuple[str, ...]:
        """The parameters that get a gradient through a row."""
        made = self._rewritten.get(row.name)
        return tuple(name for name, _ in row.parameters) if made is None or made.parameters is None else (
            tuple(made.parameters))

    def with_gradient(self, name: str, part: Contribution) -> "Graph":
        """The same, with the gradient of a tensor made otherwise."""
        other = copy(self)
        other.steps = {**self.steps, f"grad:{name}": _step(f"grad:{name}", part)}
        return other

    @property
    def reads_padding(self) -> bool:
        """Whether some row has been rewritten so."""
        return any(made.padding for made in self._rewritten.values())

    @property
    def reads_slots(self) -> bool:
        """Whether some row has been rewritten so that unused slots of predictions count."""
        return any(made.slots for made in self._rewritten.values())

    def is_rewritten(self, name: str) -> bool:
        """Whether a row is computed otherwise."""
        return name in self._rewritten

    def made(self, name: str) -> Rewritten:
        """How a row is computed."""
        return self._rewritten.get(name) or Rewritten(self.arithmetic.forward(self.rows[name]))

    def norms(self) -> Iterator[Step]:
        """The forward steps that are layer norms."""
        return (self.steps[row.name] for row in self._rows if row.op == "layer_norm")

    def scaled(self) -> set[str]:
        """The names of the steps that multiply by the factor of the scores."""
        scores = [row for row in self._rows if row.op == "scores"]
        return {row.name for row in scores} | {f"grad:{name}" for row in scores for name in row.inputs}

    def _forward(self) -> Iterator[Step]:
        for row in self._rows:
            yield _step(row.name, self.arithmetic.forward(row))

    def _backward(self) -> Iterator[Step]:
        for part in backward_order(self._rows) if self.case.objective else ():
            inside = {row.name for row in part}
            late = [row for row in part if not inside & set(row.inputs)]
            for row in part:
                yield self._gradient(row)
                if row not in late:
                    yield from self._parameters(row)
            for row in sorted(late, key=self._rows.index):
                yield from self._parameters(row)

    def _gradient(self, row: TensorRow) -> Step:
        """Of a tensor: what its readers hand back; 1 for the loss, which has none."""
        parts = [
            self.backward_of(reader, i)
            for reader in self.readers[row.name]
            for i, name in enumerate(self.reads(reader))
            if name == row.name
        ]
        if not parts:
            shape, last = self.axes(row.name).shape, row is self._rows[-1]
            return _step(f"grad:{row.name}", Contribution((), lambda: np.ones(()) if last else np.zeros(shape)))
        return _step(f"grad:{row.name}", added(parts))

    def _parameters(self, row: TensorRow) -> Iterator[Step]:
        """Of a row's parameters, except those that rows nearer to the input have, too: theirs are made there."""
        for name, _ in row.parameters:
            if self.users[name][0] is row:
                yield self._parameter(name)

    def _parameter(self, name: str) -> Step:
        """Of a parameter: what the rows that are made with it make; 0 if there is none."""
        parts = [self.parameter_of(owner, name) for owner in self.users[name]]
        shape = self.axes(f"grad:{name}").shape
        return _step(f"grad:{name}", added(parts) if parts else Contribution((), lambda: np.zeros(shape)))

    def backward_of(self, row: TensorRow, i: int) -> Contribution:
        """The gradient that input i of a row, of those that it reads, gets through it."""
        made = self._rewritten.get(row.name)
        return made.backward[i] if made and made.backward else self.arithmetic.backward(row, i)

    def parameter_of(self, row: TensorRow, name: str) -> Contribution:
        """The gradient that a parameter gets from a row."""
        made = self._rewritten.get(row.name)
        if made is not None and made.parameters is not None:
            return made.parameters[name]
        return self.arithmetic.parameter(row, [one for one, _ in row.parameters].index(name))

    def _updates(self) -> Iterator[Step]:
        """Clipping mixes all gradients, so every update needs all of them; `Replay` does them together."""
        if self.case.optimizer is None:
            return
        names = list(self.case.params)
        for name in names:
            yield Step(f"update:{name}", tuple(f"grad:{other}" for other in names), _together)

    def updates(self, grads: Mapping[str, Values]) -> CaseUpdates:
        """What makes the update of a parameter's name, from the gradients by parameters' names."""
        assert self.case.optimizer is not None
        return CaseUpdates(get("numpy").xp, self.case.optimizer, self.case.params, grads)


def _turned(
    found: Mapping[str, tuple[TensorRow, ...]], rows: list[TensorRow], before: Names, after: Names
) -> dict[str, tuple[TensorRow, ...]]:
    """Name -> the rows that have it, where these rows have other names than before."""
    changed = {row.name: row for row in rows if before(row) != after(row)}
    if not changed:
        return dict(found)
    other = {name: tuple(row for row in having if row.name not in changed) for name, having in found.items()}
    for row in changed.values():
        for name in dict.fromkeys(after(row)):
            other[name] = (*other[name], row)
    return other


def _step(name: str, part: Contribution) -> Step:
    return Step(name, part.inputs, part.compute, part.along, part.terms)


def _together(*_: Values) -> Values:
    raise AssertionError("updates are computed together: Graph.updates")
