"""Learning-rate schedules: pure functions of the step, on the host, in float64.

`step` counts the updates already made: 0 for the very first, as TensorFlow's global step does. With peak
rate η, T training steps and W warm-up steps:

    google        η s/W             while s < W     (so the first update has rate 0)
                  η (1 - s/T)       from then on, and 0 past T
    huggingface   η s/W             while s < W
                  η (T - s)/(T - W) from then on, and 0 past T

Google's decay counts from step 0 and runs hidden behind the warm-up, so at s = W the rate jumps from almost
η down to η (1 - W/T); Hugging Face's decay starts at η where the warm-up ends.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..config import Numerics
from ..errors import InputError


def google_rate(step: int, *, peak: float, steps: int, warmup_steps: int) -> float:
    """Polynomial decay of power 1 to 0, replaced by linear warm-up; google-research/bert, optimization.py."""
    if step < warmup_steps:
        return peak * (step / warmup_steps)
    return peak * (1.0 - min(step, steps) / steps)


def huggingface_rate(step: int, *, peak: float, steps: int, warmup_steps: int) -> float:
    """`transformers.get_linear_schedule_with_warmup`: linear up to the peak, then linear down to 0."""
    if step < warmup_steps:
        return peak * (step / warmup_steps)
    return peak * (max(0, steps - step) / max(1, steps - warmup_steps))


def constant_rate(step: int, *, peak: float, steps: int, warmup_steps: int) -> float:
    """Linear warm-up, then the peak rate for ever (`transformers.get_constant_schedule_with_warmup`)."""
    return peak * (step / warmup_steps) if step < warmup_steps else peak


RATES: dict[str, Callable[..., float]] = {
    "google": google_rate,
    "huggingface": huggingface_rate,
    "constant": constant_rate,
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule and its numbers; plain data, saved with the run. Raises `InputError` for numbers without
    meaning.
    """

    kind: Literal["google", "huggingface", "constant"]
    peak: float
    steps: int
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if self.kind not in RATES:
            raise InputError(f"schedule: no kind {self.kind!r}; there are {', '.join(RATES)}")
        if not (math.isfinite(self.peak) and self.peak >= 0):
            raise InputError(f"schedule: the learning rate is {self.peak!r}; it must be a non-negative number")
        if self.steps < 1:
            raise InputError(f"schedule: {self.steps} training steps; at least one is needed")
        if not 0 <= self.warmup_steps <= self.steps:
            raise InputError(f"schedule: {self.warmup_steps} warm-up steps; they can be 0 to {self.steps}, every step")

    @classmethod
    def from_numerics(cls, numerics: Numerics, *, peak: float, steps: int, warmup_steps: int = 0) -> "Schedule":
        """The dialect's schedule."""
        return cls(kind=numerics.schedule, peak=peak, steps=steps, warmup_steps=warmup_steps)

    def rate(self, step: int) -> float:
        """The rate of the update that follows `step` updates (0 for the first). Raises `InputError` if
        negative.
        """
        if step < 0:
            raise InputError(f"schedule: step {step}; steps count from 0")
        return RATES[self.kind](step, peak=self.peak, steps=self.steps, warmup_steps=self.warmup_steps)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `Schedule(**values)` restores it."""
        return asdict(self)
