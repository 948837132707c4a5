"""Other right ways to compute a step, of which the subject's own answers choose one.

A way that a part of the right implementations take, and that differs from the reference's by more than the others'
rounding, can't be one more sample of the noise floor: mixed into it, it would excuse mistakes of its size in all the
others. So where a subject doesn't fit, its steps are replayed the other way, and that is taken only if it explains
answers that the reference's way doesn't.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from .limit import LIMIT

T = TypeVar("T")


def wrong_of(before: Mapping[str, float]) -> list[str]:
    """The answers whose own error is beyond the limit."""
    return [name for name, size in before.items() if size > LIMIT]


def fitting(
    ways: Iterable[T],
    before: Mapping[str, float],
    ratio: Callable[[T, str], float],
    tried: Sequence[str],
    left: float = 0.5,
) -> T | None:
    """The way that explains most of `tried`, and of those that explain as many the closest one, if it leaves no more
    than the share `left` of the answers wrong that are wrong in the reference's way; else None.

    before  own error over the noise floor of every answer that the ways bear on, computed in the reference's way
    ratio   the same for a way and the name of an answer
    """
    best, chosen = (0, -np.inf), None
    for way in ways if tried else ():
        ratios = np.asarray([ratio(way, name) for name in tried])
        found = int(np.count_nonzero(ratios <= LIMIT)), -float(np.log(np.maximum(ratios, 1e-3)).sum())
        if found[0] and found > best:
            best, chosen = found, way
    if chosen is None or sum(ratio(chosen, name) > LIMIT for name in before) > left * len(wrong_of(before)):
        return None
    return chosen
