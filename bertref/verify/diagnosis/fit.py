"""A free number, fitted to a part of one tensor, and the interval in which it explains the tensor."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...row import TensorRow
from ..records import Fitted
from .hypothesis import Number
from .scene import LEFT, Scene, most_left

Changed = Callable[[float], Scene]
"""The scene in which the number has a value."""

SCANNED = 40
"""Values that are tried before the best one's neighbourhood is searched. Fewer: a narrow minimum is missed."""
NARROWED = 60
"""Golden sections: each leaves 0.62 of the interval, so these leave 1e-12 of it."""
NEAR = 1e-3
"""Relatively, to a minimum: listed constants that are tried, too. A number that is rounded, as a factor is to float32,
has a minimum at every such number."""
EARLY, HOPELESS = 20, 0.25
"""After so many sections, which leave 1e-4 of the interval, a number that explains the tensor leaves next to nothing of
its squared error: one that leaves more than this share won't."""
GOLDEN = (math.sqrt(5) - 1) / 2


def fitted(number: Number, changed: Changed, scene: Scene, name: str) -> Fitted | None:
    """The number that explains the answer `name`: fitted to every other index of its first axis, then held against all
    of it. Where the interval around it holds one single listed constant, that is its value. None: nothing explains it,
    or anything does, or what right code may have.
    """

    def misfit(log: float) -> float:
        part = _part(changed(number.sign * math.exp(log)).error(name))
        size = float(np.sum(np.square(part)))
        return size if math.isfinite(size) else math.inf

    def ratio(log: float) -> float:
        return changed(number.sign * math.exp(log)).ratio(name)

    enough = HOPELESS * float(np.sum(np.square(_part(scene.error(name)))))
    best = _minimum(misfit, math.log(number.low), math.log(number.high), enough)
    if best is None:
        return None
    listed = [math.log(abs(at)) for at in number.constants(scene).values()]
    best = min([best, *(at for at in listed if abs(at - best) < NEAR)], key=ratio)
    left = ratio(best)
    most = LEFT if left <= LEFT else most_left(scene.ratio(name))
    if left > most:
        return None
    ends = (_end(ratio, best, step, most) + step * number.known_to for step in (-1, 1))
    low, high = sorted(number.sign * math.exp(end) for end in ends)
    if not number.open_ended and (min(abs(low), abs(high)) <= number.low or max(abs(low), abs(high)) >= number.high):
        return None
    if _may_be_right(number, scene, low, high):
        return None
    value = number.sign * math.exp(best)
    return Fitted(number.name, value, low, high, _listed(number, scene, low, high))


def read(number: Number, scene: Scene, rows: Sequence[TensorRow]) -> Fitted | None:
    """The number that explains what the graph stores for these rows, read out of a half of that. None: none does."""
    assert number.read is not None, "it is fitted to tensors"
    interval = number.read(scene, rows)
    if interval is None:
        return None
    low, high = interval
    if _may_be_right(number, scene, low, high):
        return None
    return Fitted(number.name, math.sqrt(low * high), low, high, _listed(number, scene, low, high))


def _may_be_right(number: Number, scene: Scene, low: float, high: float) -> bool:
    """Whether the interval holds the reference's own number, or another that right code may have."""
    own = number.own(scene)
    return any(low <= at <= high for at in (*number.right(scene), *([] if own is None else [own])))


def _listed(number: Number, scene: Scene, low: float, high: float) -> str:
    """What the only listed constant in an interval is called; "": there is none, or there are several."""
    inside = {known: at for known, at in number.constants(scene).items() if low <= at <= high}
    return " = ".join(inside) if len(set(inside.values())) == 1 else ""


def _part(error: Any) -> Any:
    """What a number is fitted to: every other row; of a single row, every other position."""
    if error.ndim and error.shape[0] > 1:
        return error[::2]
    return error[:, ::2] if error.ndim > 1 else error


def _minimum(misfit: Callable[[float], float], low: float, high: float, enough: float) -> float | None:
    """Where the misfit is smallest; None, if it stays above `enough`."""
    grid = np.linspace(low, high, SCANNED)
    best = int(np.argmin([misfit(at) for at in grid]))
    a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, SCANNED - 1)])
    left, right = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    at_left, at_right = misfit(left), misfit(right)
    for section in range(NARROWED):
        if section == EARLY and min(at_left, at_right) > enough:
            return None
        if at_left <= at_right:
            b, right, at_right = right, left, at_left
            left = b - GOLDEN * (b - a)
            at_left = misfit(left)
        else:
            a, left, at_left = left, right, at_right
            right = a + GOLDEN * (b - a)
            at_right = misfit(right)
    return (a + b) / 2


def _end(ratio: Callable[[float], float], best: float, direction: int, most: float) -> float:
    """How far, on the logarithmic scale, the number may go before it explains nothing: to a thousandth of the way."""
    inside, step = best, 1e-9
    while step < 64 and ratio(best + direction * step) <= most:
        inside, step = best + direction * step, 4 * step
    outside = best + direction * step
    for _ in range(10):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if ratio(middle) <= most else (inside, middle)
    return inside
