"""Stopping a run whose numbers have stopped making sense, and saying where they first went wrong."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..data.batch import Batch
from ..errors import TrainingDiverged
from ..opset import OpSet
from ..precision import first_nonfinite
from ..probes import Recorder
from ..topology import probe_names
from .results import StepResult
from .step import State, TrainingRecipe, gradients

WINDOW = 20
FACTOR = 3.0


class DivergenceWatch:
    """Looks at every step. A loss is diverging when its mean over the last 20 steps is above three times `guessing`,
    the loss of guessing evenly; a model that has learnt nothing at all stays near once."""

    def __init__(
        self, ops: OpSet, recipe: TrainingRecipe, guessing: float, last_checkpoint: Callable[[], Path | None]
    ) -> None:
        self._ops, self._recipe, self._last_checkpoint = ops, recipe, last_checkpoint
        self._limit = FACTOR * guessing
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def look(self, result: StepResult, before: State, batch: Batch) -> None:
        """Raises `TrainingDiverged` if the step (from the state `before`) was not finite or the loss keeps rising."""
        if not result.updated:
            if before.loss_scale and before.loss_scale.dynamic and before.loss_scale.scale > 1:
                return  # the step was skipped and the scale lowered
            raise TrainingDiverged(
                f"step {result.step}: the loss is {result.loss:g} and the gradient norm {result.gradient_norm:g}; "
                f"the first bad tensor is {self._first_bad(before, batch)}. {self._advice()}"
            )
        self._recent.append(result.loss)
        if len(self._recent) == WINDOW and sum(self._recent) / WINDOW > self._limit:
            raise TrainingDiverged(
                f"step {result.step}: the loss diverges: {sum(self._recent) / WINDOW:.2f} over {WINDOW} steps. "
                f"{self._advice()}"
            )

    def _first_bad(self, before: State, batch: Batch) -> str:
        """Repeats the step with all probes on: parameters first, then the values in the order of the data flow, of
        whichever process has a bad one first."""
        xp = self._ops.xp
        bad = first_nonfinite(xp, before.params)
        if bad:
            return f"the parameter {bad}"
        recorder = Recorder()
        with np.errstate(all="ignore"):
            _, grads = gradients(self._ops, self._recipe, before, batch, recorder)
        forward = probe_names(self._recipe.settings.config)
        backward = [f"grad:{name}" for name in reversed(forward)]
        in_order = {name: recorder.values[name] for name in (*forward, *backward) if name in recorder.values}
        found = [name for name in self._recipe.world.collect(first_nonfinite(xp, in_order)) if name]
        return min(found, key=[*forward, *backward].index, default=f"grad:{first_nonfinite(xp, grads)}")

    def _advice(self) -> str:
        path = self._last_checkpoint()
        last = f"The last good checkpoint is {path}" if path else "There is no checkpoint yet"
        return f"{last}; try a lower --learning-rate or a longer warm-up."
