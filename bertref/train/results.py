"""What a step reports, on its way to the host and there."""

import math
from dataclasses import dataclass
from functools import cached_property

from ..arrays import Array, Namespace
from ..metrics import WeightedMean
from ..objectives import TOTAL, Outcome
from .host_numbers import fetched_numbers


@dataclass(frozen=True)
class StepResult:
    """What a step reports, on the host. `updated` is False where the step was not made."""

    step: int
    losses: dict[str, float]
    figures: dict[str, WeightedMean]
    gradient_norm: float
    rate: float
    updated: bool

    @property
    def loss(self) -> float:
        """The total."""
        return self.losses[TOTAL]


class IssuedStep:
    """A step that the device has been asked for; its losses, norm and figures are being fetched, all together."""

    def __init__(self, xp: Namespace, step: int, rate: float, outcome: Outcome, norm: Array) -> None:
        self._step, self._rate = step, rate
        self._losses, self._figures = list(outcome.losses), list(outcome.figures)
        parts = [part for figure in outcome.figures.values() for part in figure]
        self._numbers = fetched_numbers(xp, [*outcome.losses.values(), norm, *parts])

    @cached_property
    def result(self) -> StepResult:
        """Waits for the numbers."""
        numbers = iter(self._numbers())
        losses = {name: next(numbers) for name in self._losses}
        norm = next(numbers)
        figures = {name: WeightedMean(next(numbers), next(numbers)) for name in self._figures}
        updated = all(map(math.isfinite, (*losses.values(), norm)))
        return StepResult(self._step, losses, figures, norm, self._rate, updated)
