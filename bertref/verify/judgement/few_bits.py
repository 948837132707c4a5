"""Answers that integers make which nobody replays: what rounding to so few bits can do to them.

What made such an answer is computed once more from the recorded values that it was made of, with all weights, and all
that its steps read, rounded to a few bits, on one scale a tensor. That is coarser than what quantised graphs do. An
answer farther off than `limit.LIMIT` times what it costs isn't right for any integers; of others nobody can say.
"""

import numpy as np

from ..graph.contribution import Contribution, Values
from ..graph.replay import Replay
from ..graph.steps import Graph, Rewritten
from .measures import mean_square

BITS = {"MatMulNBits": 4}
"""Of the numbers that an op stores, where they aren't 8."""


def rounded(value: Values, bits: int) -> Values:
    """The nearest of the numbers that `bits` bits hold on a scale of the largest finite one; infinities stay."""
    step = float(np.abs(value[np.isfinite(value)]).max(initial=0.0)) / (2 ** (bits - 1) - 1)
    return np.rint(value / step) * step if step else value


def times_rounding(replay: Replay, name: str, value: Values, coarse: Replay) -> float:
    """How many times what rounding does (`coarsely`) the error of an answer is, made of recorded values."""
    axes, right = replay.graph.axes(name), replay(name)
    error, rounding = (
        mean_square(axes.clean(np.asarray(one, np.float64)) - right, axes) for one in (value, coarse(name))
    )
    return float(np.sqrt(error / rounding)) if rounding else 0.0


def bits_of(why: str) -> int:
    """Of the numbers that the op stores that a reason names."""
    return next((number for op, number in BITS.items() if op in why), 8)


def coarsely(replay: Replay, bits: int) -> Replay:
    """The same recorded values, and steps whose weights and inputs are rounded to so many bits."""
    graph = replay.graph
    coarse = Graph(graph.case, {name: rounded(array, bits) for name, array in graph.case.params.items()})

    def reading(forward: Contribution) -> Rewritten:
        return Rewritten(Contribution(
            forward.inputs, lambda *values: forward.compute(*(rounded(value, bits) for value in values))
        ))  # fmt: skip

    rows = {name: reading(coarse.made(name).forward) for name in coarse.rows}
    return Replay(coarse.rewritten(rows), replay.recorded)
