"""Numbers as a quantised graph stores them: integers, their scale and their zero."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Values = Any

HALF_A_STEP = 0.501
"""Of a scale: nearest integers, and float32's rounding where a value lies between two."""
A_STEP = 1.001
"""Of a scale, that the largest values may lie beyond the last integer: a scale of the largest one over 128 ends at 127.
More: what a scale is too small for is cut off."""

SINGLE = 2.0**-22
"""Of a number: what the rounding of its scale to float32, and of the quotient, make of large integers (of biases)."""


@dataclass(frozen=True, eq=False)
class Integers:
    """What they stand for is (integers - zero) * scale; `scale` and `zero` broadcast to the integers."""

    integers: Values
    scale: Values
    zero: Values

    @property
    def values(self) -> Values:
        """In float64."""
        return (self.integers.astype(np.float64) - self.zero) * self.scale

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest number of their type."""
        kind = np.iinfo(self.integers.dtype)
        return int(kind.min), int(kind.max)

    def turned(self) -> "Integers":
        """Of a matrix that lies the other way."""
        return Integers(*(np.transpose(one) for one in (self.integers, self.scale, self.zero)))

    def explains(self, right: Values, step: float = HALF_A_STEP) -> bool:
        """Whether each is the nearest to a right number, to so much of a step, and nothing is cut off."""
        if right.shape != self.integers.shape:
            return False
        low, high = ((end - self.zero) * self.scale for end in self.ends)
        kept = np.clip(right, low, high)
        if not (np.abs(right - kept) <= A_STEP * self.scale).all():
            return False
        return bool((np.abs(self.values - kept) <= step * self.scale + SINGLE * np.abs(kept)).all())


@dataclass(frozen=True, eq=False)
class Misread:
    """Integers that a step of a quantised graph reads otherwise than they were made: with another "scale", another
    "zero", or with a scale that is "infinite". `words` say which, `effect` is what that adds to the step's tensor."""

    kind: str
    words: str
    effect: Values


@dataclass(frozen=True, eq=False)
class Stored:
    """A parameter as a graph stores it for a step, in BERT's shape. `right`: each integer is the nearest to the model's
    number, so that the step is judged with that one; else it is judged with what is stored."""

    parameter: str
    held: Integers
    right: bool
