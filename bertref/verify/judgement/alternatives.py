"""Other right ways to compute a step, of which the subject's own answers choose one.

A way that a part of the right implementations take, and that differs from the reference's by more than the others'
rounding, can't be one more sample of the noise floor: mixed into it, it would excuse mistakes of its size in all the
others. So where a subject doesn't fit, its steps are replayed the other way, and that is taken only if it explains
answers that the reference's way doesn't.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from .limit import LIMIT

T = TypeVar("T")


def fitting(ways: Iterable[T], names: Sequence[str], ratio: Callable[[T, str], float], right: int) -> T | None:
    """The way that explains most of `names`, and of those that explain as many the closest one; None if none explains
    more than the `right` ones that the reference's way does.

    `ratio(way, name)` is the error of an answer that is left if its step is computed in that way, over the noise floor.
    """
    best: tuple[int, float] = (right, -np.inf)
    chosen = None
    for way in ways:
        ratios = np.asarray([ratio(way, name) for name in names])
        fits = int(np.count_nonzero(ratios <= LIMIT))
        close = -float(np.log(np.maximum(ratios, 1e-3)).sum())
        if fits > right and (fits, close) > best:
            best, chosen = (fits, close), way
    return chosen
