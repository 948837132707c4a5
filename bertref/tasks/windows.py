"""Texts that are longer than a model reads: overlapping windows, and for every token the one that shows it best.

Source: google-research/bert, `run_squad.py`, `convert_examples_to_features` and `_check_is_max_context`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError


class Window(NamedTuple):
    """The tokens `start` to `end` (not included) of a text."""

    start: int
    end: int


def windows(count: int, room: int, stride: int) -> list[Window]:
    """Windows of up to `room` tokens over `count` of them, each beginning `stride` after the one before.

    The last one ends where the text does. A stride longer than the room would skip tokens; it is the room then. Raises
    `InputError` if there is no room or no stride.
    """
    if room < 1:
        raise InputError(f"{room} tokens are left for the text; give a larger maximal length or a shorter question")
    if stride < 1:
        raise InputError(f"the stride is {stride}; it must be at least 1")
    found = [Window(0, min(count, room))]
    while found[-1].end < count:
        start = found[-1].start + min(stride, room)
        found.append(Window(start, min(count, start + room)))
    return found


def best_window(count: int, found: list[Window]) -> npt.NDArray[np.int64]:
    """For each of `count` tokens the number of the window in which it has most context, (count,).

    Context is the smaller of the numbers of tokens to the left and to the right; longer windows break ties, then
    earlier ones.
    """
    places = np.arange(count)
    best, score = np.zeros(count, np.int64), np.full(count, -np.inf)
    for number, (start, end) in enumerate(found):
        context = np.minimum(places - start, end - 1 - places) + 0.01 * (end - start)
        better = (places >= start) & (places < end) & (context > score)
        best[better], score[better] = number, context[better]
    return best
