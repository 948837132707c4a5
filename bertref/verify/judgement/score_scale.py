"""The factor of attention's scores, 1/√D, held in a half type.

A program or an exported graph in half precision has its constants in that type, too. Where 1/√D isn't one of its
numbers, all scores have one factor more, up to half a unit for each multiplication: √(1/√64) in float16 makes 2e-4,
twelve times what a sum over many scores leaves of rounding. Which factors are possible is known exactly, so they are
tried; nothing else gets any room. Norms, whose factors would hide an epsilon, have no such constant.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ..emulation.formats import FORMATS, Format, nearest
from ..records import HALVES
from .alternatives import fitting, wrong_of

NOTE = "attention scores are judged with a factor rounded to half precision"


def explaining(
    precision: str, head_size: int, before: Mapping[str, float], ratio: Callable[[float, str], float]
) -> float | None:
    """The gain of a rounded factor that explains more of the answers than the exact one does, if there is one. `before`
    and `ratio` are those of `alternatives.fitting`, for the answers that the factor takes part in."""
    if precision not in HALVES:
        return None
    held = FORMATS[precision.removeprefix("mixed-")]
    return fitting(gains(head_size, held), before, ratio, wrong_of(before))


def gains(head_size: int, held: Format) -> list[float]:
    """By what scores are too large if √D, its reciprocal or that one's root, with which both query and key are
    multiplied, are rounded on the way; without 1."""

    def both(values: set[float]) -> set[float]:
        return values | {float(nearest(np.asarray(value), held)) for value in values}

    root = float(np.sqrt(head_size))
    scales = both({1 / value for value in both({root})})
    halves = {float(nearest(np.asarray(np.sqrt(value)), held)) ** 2 for value in scales}
    found = {value * root for value in scales | halves}
    return sorted(gain for gain in found if abs(gain - 1) > FORMATS["float32"].unit)
