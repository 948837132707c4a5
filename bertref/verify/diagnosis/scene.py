"""A judged case whose steps can be replayed with something changed."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...row import TensorRow
from ..graph.arithmetic import RowArithmetic
from ..graph.axes import split
from ..graph.contribution import Contribution
from ..graph.feeding import Rounded
from ..graph.replay import Replay, Updater, span
from ..graph.steps import Rewritten
from ..integers import Misread, Stored
from ..judgement.judge import Judgement, largest_ratio
from ..judgement.limit import LIMIT
from ..judgement.measures import Measures, compared
from ..judgement.noise_floor import for_larger, judged_names, noise_floor
from ..records import Case
from .tape import rounded

BACK = "back"
"""What the way back of a row is called by: before its name, and behind its op."""
START = TensorRow("the start", "start back", (), (), "", "", "start", ())
"""What the way back starts with, as if it were a row of the network's table: the gradient of the loss, 1."""
STEP = TensorRow("update", "optimizer_step", (), (), "", "", "update", ())
"""The optimiser's step, as if it were a row: all updates are made by it."""


@dataclass(frozen=True)
class Back:
    """A row's way back, computed otherwise: the gradients of its inputs, () is as before; and those of its parameters,
    by their names, None is as before. `padding`: padded positions have a gradient then; `slots`: so have unused slots
    of predictions."""

    inputs: tuple[Contribution, ...] = ()
    parameters: Mapping[str, Contribution] | None = None
    padding: bool = False
    slots: bool = False


Made = Rewritten | Back | Updater
"""What is made otherwise: a row, a row's way back, the optimiser's step."""

LOOKUP = "embeddings.word"

LEFT = 3.0
"""The largest error, in units of what rounding explains, that a cause may leave. Larger: causes that are nearly right
are named; smaller: some right ones are not. Of right implementations the median of the largest is below 2.9
(`judgement.limit`)."""

CLEAR = 1e-5
"""Of a large error, what a cause may leave, up to `LIMIT`, which right implementations keep to: what is only nearly
right leaves more. Larger: causes that are nearly right are named; smaller: some right ones are not."""


def most_left(before: float) -> float:
    """What a cause may leave of an error, both in units of what rounding explains."""
    return max(LEFT, min(LIMIT, CLEAR * before))


SAME = 1e-12
"""Of an answer's largest element: what float64 makes otherwise of the same mathematics."""


class Scene:
    """A judgement, and the repairs that are in force: rows of the table that are computed as the subject does it."""

    def __init__(self, judgement: Judgement, replay: Replay | None = None) -> None:
        self._judgement = judgement
        self.replay = judgement.replay if replay is None else replay
        self.case: Case = judgement.case
        self.values: Mapping[str, Any] = judgement.values
        self.precision = judgement.truth.precision
        self.params: Mapping[str, Any] = judgement.truth.params
        self.stored: Mapping[str, tuple[Stored, ...]] = judgement.stored
        self.misread: Mapping[str, tuple[Misread, ...]] = judgement.misread
        self._arithmetic = judgement.graph.arithmetic
        self.rows: dict[str, TensorRow] = {row.name: row for row in _rows_of(judgement)}
        self._ratios: dict[str, float] = {
            name: ratio for name, ratio in judgement.ratios.items() if replay is None and not LEFT < ratio <= LIMIT
        }  # between the two the judgement doesn't ask whether the subject's own inputs make more of it

    def changed(self, rows: Mapping[str, Made]) -> "Scene":
        """The same with these rows computed otherwise, too."""
        replay, graph = self.replay, self.replay.graph
        for name, made in rows.items():
            if isinstance(made, Rewritten):
                graph = graph.rewritten({name: made})
            elif not isinstance(made, Back):
                replay = replay.stepping(made)
            elif name == START.name:
                graph = graph.with_gradient(list(graph.rows)[-1], made.inputs[0])
            else:
                base = name.removeprefix(f"{BACK} ")
                before = graph.made(base)
                if not before.backward and before.forward.inputs != graph.rows[base].inputs:
                    continue  # of another formula, whose own way back isn't known
                if made.inputs and len(made.inputs) != len(before.forward.inputs):
                    continue  # of another formula, which reads more
                parameters = before.parameters if made.parameters is None else made.parameters
                graph = graph.rewritten({
                    base: replace(before, backward=made.inputs or before.backward, parameters=parameters,
                                  padding=before.padding or made.padding, slots=before.slots or made.slots)
                })  # fmt: skip
        other = copy(self)
        other.replay, other._ratios = replay if graph is self.replay.graph else replay.on(graph), {}
        return other

    def without_padding_row(self) -> "Scene":
        """The same, in which words at padded positions get no gradient, as with torch's `padding_idx`."""
        row = self.rows[LOOKUP]
        table = RowArithmetic(self.case, self.params, padding_row=False).parameter(row, 0)
        return self.changed({f"{BACK} {LOOKUP}": Back((), {row.parameters[0].name: table})})

    def making(self, name: str, value: Any) -> "Scene":
        """The same, whose step `name` should make this."""
        return Scene(self._judgement, self.replay.making(name, value))

    def span(self, name: str) -> set[str]:
        """The rows, and ways back of rows, that may have made an answer out of what was recorded."""
        graph, found = self.replay.graph, set[str]()
        for one in span(graph, name, self.values):
            prefix, rest = split(one)
            if not prefix:
                found.add(one)
            elif prefix == "update":
                found.add(STEP.name)
            else:
                makers = graph.readers[rest] if rest in graph.rows else graph.users[rest]
                found |= {f"{BACK} {row.name}" for row in makers} or {START.name}
        return found

    def part(self, name: str) -> str:
        """The part of the network that an answer belongs to, forward or backward."""
        prefix, rest = split(name)
        if prefix == "update":
            return STEP.name
        row = self.rows[rest] if rest in self.rows else self._judgement.graph.users[rest][0]
        return f"{BACK} {row.part}" if prefix else row.part

    def made_by(self, row: TensorRow) -> str:
        """The name of the tensor whose way back a row is."""
        return row.name.removeprefix(f"{BACK} ")

    def backward(self, row: TensorRow) -> tuple[Contribution, ...]:
        """The gradients of the inputs of a row whose way back this is."""
        base, graph = self.rows[self.made_by(row)], self.replay.graph
        return tuple(graph.backward_of(base, i) for i in range(len(graph.reads(base))))

    def parameters(self, row: TensorRow) -> dict[str, Contribution]:
        """The gradients of the parameters of a row whose way back this is, by their names."""
        base, graph = self.rows[self.made_by(row)], self.replay.graph
        return {name: graph.parameter_of(base, name) for name in graph.parameters_of(base)}

    def users(self, parameter: str) -> int:
        """How many rows have a parameter."""
        return len(self.replay.graph.users[parameter])

    def with_parameters(self, values: Mapping[str, Any]) -> "Scene":
        """The same, in which formulas find other values of these parameters."""
        other = copy(self)
        other.params, other._ratios = {**self.params, **values}, {}
        other._arithmetic = RowArithmetic(self.case, other.params)
        return other

    def forward(self, row: TensorRow) -> Contribution:
        """What the reference computes."""
        return self._arithmetic.forward(row)

    def judged_names(self) -> list[str]:
        """The names of the answers that can be judged, in the order of the computation."""
        return judged_names(self.replay.graph, self.values)

    def ratio(self, name: str) -> float:
        """The largest error that the step of an answer added, over rounding; infinite if it is made no number."""
        if name not in self._ratios:
            self._ratios[name] = self._ratio(name)
        return self._ratios[name]

    def ratios(self, names: Iterable[str]) -> dict[str, float]:
        """Those of several answers; of a large model's two at a time."""
        names = list(names)
        with ThreadPoolExecutor(2 if self._judgement.truth.large else 1) as pool:
            return dict(zip(names, pool.map(self.ratio, names), strict=True))

    def _ratio(self, name: str) -> float:
        made = self.replay(name)
        if not np.isfinite(made).all():
            return np.inf
        replay = self.replay.making(name, made)  # which is asked for it several times
        found, floor = self._judgement.own(name, replay), self._judgement.noise_floor.own[name]
        ratio, _ = largest_ratio(found, floor)
        if ratio > LEFT:
            ratio, _ = largest_ratio(found, for_larger(self._judgement.truth, replay, name, floor))
        return ratio

    def alone(self) -> "Scene":
        """The same case, in which every step reads the right answers, rounded to what the subject computes in."""
        other = copy(self)
        other.values = Rounded(self._judgement.truth, self.precision)
        other.replay, other._ratios = Replay(self._judgement.graph, other.values), {}
        return other

    def floor_alone(self, prefix: str) -> Mapping[str, Measures]:
        """The noise floor of a subject that gives everything: of each step by itself, forward ("") or all."""
        graph = self._judgement.graph
        names = {step.name for step in graph if prefix or not split(step.name)[0]}
        return noise_floor(self._judgement.truth, names).own

    def difference(
        self, name: str, changed: "Scene", floors: Mapping[str, Measures] | None = None
    ) -> tuple[float, bool]:
        """How far a changed scene's step makes an answer from this one's, of the same inputs: the largest measure over
        rounding (by `floors`; None: the judgement's own), and whether they are the same but for the last bits."""
        graph, right = self.replay.graph, self.replay(name)
        axes, along = graph.axes(name), graph.steps[name].along
        found = axes.clean(changed.replay(name))
        if not np.isfinite(found).all():
            return np.inf, False
        guide = self.replay.input(along) if along else None
        floor = (self._judgement.noise_floor.own if floors is None else floors)[name]
        measures = compared(found, right, axes, guide, drift=True)
        ratio, _ = largest_ratio(measures, floor)
        if ratio > LIMIT:
            ratio, _ = largest_ratio(measures, for_larger(self._judgement.truth, self.replay, name, floor))
        size = float(np.max(np.abs(right), initial=0.0))
        return ratio, bool(np.max(np.abs(found - right), initial=0.0) <= SAME * size)

    def vanishes(self, name: str) -> bool:
        """Whether all that the step of a judged answer makes is rounding."""
        if name not in self._judgement.noise_floor.own:
            return False
        return self.difference(name, self.making(name, 0.0 * self.replay(name)))[0] <= LIMIT

    def as_stored(self, row: TensorRow, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a row's parameters, as a quantised graph stores them: where its integers aren't the nearest to the
        model's, but to these, the step computes with what the integers stand for."""
        found = dict(values)
        for one in self.stored.get(row.name, ()):
            if one.parameter in found and not one.right and one.held.explains(found[one.parameter]):
                found[one.parameter] = one.held.values
        return found

    def error(self, name: str) -> Any:
        """The error that the step of an answer added, 0 where nothing is asked."""
        return self.found(name) - self.replay(name)

    def found(self, name: str) -> Any:
        """What the step of an answer is judged by, 0 where nothing is asked: what was recorded, of quantised graphs
        without what quantisation explains."""
        return self.replay.graph.axes(name).clean(np.asarray(self._judgement.judged(name), np.float64))

    def raw(self, name: str, otherwise: Any) -> Any:
        """What a subject recorded, at padded positions, too; `otherwise`, if it recorded nothing."""
        found = self.values.get(name)
        return otherwise if found is None else rounded(otherwise, lambda _: np.asarray(found, np.float64))


def _rows_of(judgement: Judgement) -> Iterator[TensorRow]:
    """The rows of the table, their ways back, and the optimiser's step."""
    rows = judgement.graph.rows.values()
    yield from rows
    if judgement.case.objective is not None:
        yield START
        yield from (replace(row, name=f"{BACK} {row.name}", op=f"{row.op} {BACK}") for row in rows)
    if judgement.case.optimizer is not None:
        yield STEP
