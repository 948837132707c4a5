"""The loop around the step: batches fetched ahead, what is shown, evaluation, checkpoints, stopping.

It knows neither the objective nor the data: a `Task` brings the batches, evaluates and saves.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..data.batch import Batch
from ..data.prefetch import Prefetch
from ..objectives import TOTAL
from ..opset import OpSet
from .diverged import DivergenceWatch
from .parallel.sums import anywhere
from .report import Report
from .results import StepResult
from .step import State, TrainingRecipe
from .stepper import Stepper


class Task(Protocol):
    """What the loop asks of whoever knows what is trained."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0, fit for the model."""
        ...

    def save(self, state: State) -> None:
        """Writes a checkpoint."""
        ...

    def evaluate(self, state: State) -> bool:
        """Evaluates, and reports what comes out; whether the run should go on."""
        ...


@dataclass(frozen=True)
class Pace:
    """How many steps there are, and after how many of them the loop reports, saves and evaluates (0: never)."""

    steps: int
    log_every: int
    save_every: int
    eval_every: int = 0

    def reports(self, step: int) -> bool:
        """Whether step number `step`, counted from 1, is shown: the first, the last and some in between."""
        return step in (1, self.steps) or step % self.log_every == 0

    def saves(self, step: int) -> bool:
        return step % self.save_every == 0

    def evaluates(self, step: int) -> bool:
        """Whether there is an evaluation on the way; the one at the end is not the loop's."""
        return bool(self.eval_every) and step % self.eval_every == 0 and step < self.steps


@dataclass(frozen=True)
class Trained:
    """How the loop ended: its last state, whether it was interrupted, and the (step, loss) of the steps shown."""

    state: State
    interrupted: bool
    curve: list[tuple[int, float]]


def train(
    ops: OpSet,
    recipe: TrainingRecipe,
    state: State,
    task: Task,
    pace: Pace,
    watch: DivergenceWatch,
    report: Report,
    should_stop: Callable[[], bool],
) -> Trained:
    """Steps from `state` to the last. `should_stop` is asked after each, in every process; where one says so, all save
    the state at once and end. Where steps have losses of several kinds, the last of each kind is shown every time.

    Raises `TrainingDiverged` as `DivergenceWatch` does.
    """
    curve: list[tuple[int, float]] = []
    unseen: dict[frozenset[str], StepResult] = {}  # the last step of a kind, which is what its losses are called
    clock = _Clock()

    def seen(result: StepResult, before: State, batch: Batch) -> None:
        watch.look(result, before, batch)
        clock.add(int(np.sum(batch.attention_mask)))
        unseen[frozenset(result.losses)] = result
        if pace.reports(result.step):
            for shown in sorted(unseen.values(), key=lambda each: each.step):
                curve.append((shown.step, shown.loss))
                report("step", {**_values(shown), "steps": pace.steps, **clock.values()})
            unseen.clear()

    stepper = Stepper(ops, recipe, state, seen)
    with Prefetch(_batches(task, state.step, pace.steps)) as batches:
        for batch in batches:
            stepper.step(batch)
            step = stepper.state.step
            stopped = anywhere(recipe.world, should_stop())
            saves = stopped or pace.saves(step)
            if saves or pace.evaluates(step) or step == pace.steps:
                stepper.settle()
            if saves:
                task.save(stepper.state)
            if stopped:
                return Trained(stepper.state, True, curve)
            if pace.evaluates(step) and not task.evaluate(stepper.state):
                break
    return Trained(stepper.state, False, curve)


def _batches(task: Task, first: int, steps: int) -> Iterator[Batch]:
    for step in range(first, steps):
        yield task.batch(step)


def _values(result: StepResult) -> dict[str, Any]:
    """What a step reports: its losses and its figures."""
    parts = {f"{name}_loss": loss for name, loss in result.losses.items() if name != TOTAL}
    figures = {name: mean.value for name, mean in result.figures.items()}
    return {
        **figures, "step": result.step, "loss": result.loss, **parts, "gradient_norm": result.gradient_norm,
        "rate": result.rate, "updated": result.updated, "learning_rate": result.rate,
    }  # fmt: skip


class _Clock:
    """Seconds and tokens since the start of the loop."""

    def __init__(self) -> None:
        self._start, self._tokens = time.perf_counter(), 0

    def add(self, tokens: int) -> None:
        self._tokens += tokens

    def values(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._start
        return {"tokens": self._tokens, "seconds": seconds, "tokens_per_second": self._tokens / max(seconds, 1e-9)}
