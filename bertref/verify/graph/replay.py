"""What the steps make of somebody's recorded values; what was not recorded is made from what was."""

from collections import OrderedDict
from collections.abc import Callable, Container, Mapping
from copy import copy
from threading import RLock
from typing import Any

import numpy as np

from ...optim import Optimizer
from ..judgement.reference import CaseUpdates
from .gradients import Gradients
from .padding import Used
from .steps import Graph

Values = Any

Updater = Callable[[Gradients], Callable[[str], Values]]
"""What makes the update of a parameter's name, of the gradients by parameters' names."""

KEPT = 32
"""So many of somebody's recorded values are kept in float64: a layer's."""


class Replay:
    """What each step makes of somebody's recorded values, in float64.

    An input that was not recorded is made by its own step, and so on down to the parameters: then the result's
    difference from the recorded answer is the error of all steps since the nearest recorded ones (`sources`).
    Of recorded answers everything is used that bears on real positions (`padding`).
    """

    def __init__(self, graph: Graph, recorded: Mapping[str, Values]) -> None:
        self.graph, self.recorded = graph, recorded
        self._made: dict[str, Values] = {}
        self._updates: CaseUpdates | Callable[[str], Values] | None = None
        self._gradients: Gradients | None = None
        self._optimizer: Optimizer | None = None
        self._found: Used | None = None
        self._kept: OrderedDict[str, Values] = OrderedDict()
        self._one = RLock()  # several threads may ask

    def __call__(self, name: str) -> Values:
        """The answer `name` made from recorded inputs, never the recorded answer itself; 0 where nothing is asked."""
        made = self._make(name)
        return made if self._used.attended is None else self.graph.axes(name).clean(made)

    def input(self, name: str) -> Values:
        """What other steps start from: the recorded answer, made if there is none; 0 where it is of no use."""
        if name not in self.recorded:
            return self._make(name)
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        axes = self.graph.axes(name)
        value = self._clean(name, np.asarray(self.recorded[name], np.float64))
        if axes.counts is not None:  # what other steps start from; gradients of parameters are looked at once
            self._kept[name] = value
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return value

    def _make(self, name: str) -> Values:
        if name in self._made:
            return self._made[name]
        step = self.graph.steps[name]
        with np.errstate(all="ignore"):
            if name.startswith("update:"):
                made = self._update(name.removeprefix("update:"))
            else:
                made = self._clean(name, np.asarray(step.compute(*[self.input(other) for other in step.inputs])))
        if name not in self.recorded:  # only those are anybody's inputs
            self._made[name] = made
        return made

    def _clean(self, name: str, value: Values) -> Values:
        return self._used.clean(name, value, self.graph.axes(name).clean(value))

    @property
    def _used(self) -> Used:
        with self._one:
            if self._found is None:
                graph = self.graph
                self._found = Used(
                    graph.case, self.recorded, everything=graph.reads_padding, slots=graph.reads_slots
                )  # fmt: skip
            return self._found

    def with_gain(self, gain: float) -> "Replay":
        """The same recorded values, and attention's scores multiplied by `gain`."""
        return Replay(self.graph.with_gain(gain), self.recorded)

    def without_padding_row(self) -> "Replay | None":
        """The same recorded values, for whoever's words at padded positions get no gradient. None: it's the same."""
        if self._used.attended is None:
            return None
        return Replay(self.graph.without_padding_row(), self.recorded)

    def on(self, graph: Graph) -> "Replay":
        """The same recorded values, and other steps of the same case. What does not depend on a step that is another
        one is not made again."""
        other = copy(self)
        other.graph, other._updates, other._gradients = graph, None, None
        if (graph.reads_padding, graph.reads_slots) != (self.graph.reads_padding, self.graph.reads_slots):
            other._found, other._kept, other._made = None, OrderedDict(), {}
            return other
        other._found, same = self._used, _same_steps(self.graph, graph, self.recorded)
        other._made = {name: value for name, value in list(self._made.items()) if same(name)}
        return other

    def with_optimizer(self, optimizer: Optimizer) -> "Replay":
        """The same recorded values, whose updates another optimiser makes."""
        other = copy(self)
        other._made = {name: value for name, value in self._made.items() if not name.startswith("update:")}
        stepper = self._stepper()
        assert isinstance(stepper, CaseUpdates), "the optimiser is chosen before anything is rewritten"
        other._updates, other._optimizer = stepper.with_optimizer(optimizer), optimizer
        return other

    def stepping(self, updater: Updater) -> "Replay":
        """The same recorded values, whose updates are made by another step."""
        other = copy(self)
        other._made = {name: value for name, value in self._made.items() if not name.startswith("update:")}
        other._updates = updater(self.gradients)
        return other

    def making(self, name: str, value: Values) -> "Replay":
        """The same recorded values, of which the step `name` makes this."""
        other = copy(self)
        other._made = {**self._made, name: value}
        return other

    @property
    def gradients(self) -> Gradients:
        """Those of all parameters, that the updates are made of."""
        with self._one:
            if self._gradients is None:
                self._gradients = Gradients(self.graph.case.params, lambda name: self.input(f"grad:{name}"))
            return self._gradients

    def _stepper(self) -> CaseUpdates | Callable[[str], Values]:
        with self._one:
            if self._updates is None:
                made = self.graph.updates(self.gradients)
                self._updates = made if self._optimizer is None else made.with_optimizer(self._optimizer)
            return self._updates

    def _update(self, name: str) -> Values:
        return np.asarray(self._stepper()(name))


def _same_steps(before: Graph, after: Graph, recorded: Container[str]) -> Callable[[str], bool]:
    """Whether an answer is made by the same steps in both graphs; updates, which all gradients make, never are."""
    known: dict[str, bool] = {}

    def same(name: str) -> bool:
        if name not in known:
            step = after.steps[name]
            known[name] = step is before.steps[name] and not name.startswith("update:") and all(
                other in recorded or same(other) for other in step.inputs
            )
        return known[name]

    return same


def sources(graph: Graph, name: str, recorded: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The nearest recorded answers that `name` is made from, and whether these are all its direct inputs."""
    through = span(graph, name, recorded)
    found = {other for one in through for other in graph.steps[one].inputs if other in recorded}
    order = list(graph.steps)
    return tuple(sorted(found, key=order.index)), len(through) == 1


def span(graph: Graph, name: str, recorded: Container[str]) -> set[str]:
    """The steps whose errors together are the own error of `name`: its own one, and those before it whose answers were
    not recorded."""
    found, open_ = {name}, [name]
    while open_:
        new = [other for other in graph.steps[open_.pop()].inputs if other not in recorded and other not in found]
        found |= set(new)
        open_ += new
    return found
