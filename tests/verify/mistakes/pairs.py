"""Several mistakes at once: which go together, and whether each is named.

Mistakes go together if they are put into different code, are first seen at different tensors, and each makes a
difference beside the others: a layer that was written again doesn't call what another mistake is in.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.graph.steps import Graph
from bertref.verify.records import Arrays, Case, Diagnosis, Report
from bertref.verify.subjects import torch_model

from . import MISTAKES, foreign
from .measure import SEED, subject
from .mistake import Mistake

Group = tuple[Mistake, ...]
BY_NAME = {one.name: one for one in MISTAKES}


@cache
def asked(head: str = "pretraining") -> Case:
    return generate(SEED, head=head)


@cache
def patched(name: str) -> frozenset[tuple[str, str]]:
    """The code that the mistake of that name is in: modules and what of them is another; the step of the optimiser."""
    mistake = BY_NAME[name]
    if mistake.patch is None:
        return frozenset({("", "step")})

    def parts(model: Any) -> dict[tuple[str, str], Any]:
        return {(name, key): value for name, module in model.named_modules() for key, value in vars(module).items()
                if key not in ("_parameters", "_buffers", "_modules", "training")}  # fmt: skip

    model = torch_model.stock_for(asked())
    before, modules = parts(model), dict(model.named_modules())
    mistake.patch(model)
    changed = {place for place, value in parts(model).items() if place not in before or before[place] is not value}
    replaced = {(name, "") for name, module in model.named_modules() if modules.get(name) is not module}
    return frozenset(changed | replaced)


def together(group: Sequence[Mistake]) -> bool:
    """Whether mistakes go together."""
    firsts = {one.expected(asked().config.num_hidden_layers) for one in group}
    codes, names = [patched(one.name) for one in group], [one.name for one in group]
    if len(firsts) < len(group) or sum(map(len, codes)) > len(frozenset().union(*codes)):
        return False
    try:
        return all(_differ(_answers(*names), _answers(*(one for one in names if one != left))) for left in names)
    except InputError:  # what one of them makes has no shape that another can read
        return False


@cache
def _answers(*names: str) -> Arrays:
    return subject(*(BY_NAME[name] for name in names), dtype="float64").answer(asked()).values


def _differ(some: Arrays, others: Arrays) -> bool:
    return any(name not in others or not np.array_equal(value, others[name]) for name, value in some.items())


def groups(count: int, size: int, seed: int) -> Iterator[Group]:
    """So many groups of mistakes of pre-training, of that size, by chance; of none that is met in other programs, which
    are so small that another mistake hides them."""
    mistakes = [one for one in MISTAKES if not one.case and one not in foreign.MISTAKES]
    rng = random.Random(seed)
    seen: set[frozenset[str]] = set()
    while len(seen) < count:
        group = tuple(sorted(rng.sample(mistakes, size), key=mistakes.index))
        names = frozenset(one.name for one in group)
        if names not in seen and together(group):
            seen.add(names)
            yield group


@dataclass(frozen=True)
class GroupOutcome:
    """What the verifier said of several mistakes at once."""

    group: Group
    report: Report

    @property
    def diagnosis(self) -> Diagnosis:
        assert self.report.diagnosis is not None, "asked for"
        return self.report.diagnosis

    @property
    def place(self) -> bool:
        """Whether the first wrong tensor is that of the first of the mistakes, in the order of the computation."""
        order = list(Graph(asked()).steps)
        return self.report.first == min((self._first(one) for one in self.group), key=order.index)

    @property
    def named(self) -> tuple[Mistake, ...]:
        """The mistakes that are named: by one of their causes, at their first tensor if another has the same ones."""
        if self.diagnosis.outcome != "named":
            return ()
        return tuple(one for one in self.group if any(self._names(cause, one) for cause in self.diagnosis.causes))

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is named and is none of the mistakes."""
        if self.diagnosis.outcome == "failed":
            return ("failed",)
        right = {id for one in self.group for id in one.causes}
        return tuple(cause.id for cause in self.diagnosis.causes if cause.id not in right)

    def _first(self, mistake: Mistake) -> str:
        return mistake.expected(asked().config.num_hidden_layers)

    def _names(self, cause: Any, mistake: Mistake) -> bool:
        shared = any(cause.id in one.causes for one in self.group if one is not mistake)
        return cause.id in mistake.causes and (not shared or self._first(mistake) in cause.tensors)


def measure_group(group: Group) -> GroupOutcome:
    return GroupOutcome(group, check(subject(*group), asked()))
