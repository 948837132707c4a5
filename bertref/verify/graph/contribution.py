"""What a step computes, or one term of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Values = Any
Compute = Callable[..., Values]


class Contribution(NamedTuple):
    """`compute(*inputs)` makes an answer, or a term of one, from other answers. `along` is the input that an
    elementwise function follows element by element. `terms` makes the sum of the squared terms that each element is the
    sum of, from the squares of the inputs and of the parameters; None where an element isn't a sum. `linear`: each
    element is a sum, or is handed on, so that a total of such parts is a sum again."""

    inputs: tuple[str, ...]
    compute: Compute
    along: str = ""
    terms: Compute | None = None
    linear: bool = False


def summed(inputs: tuple[str, ...], compute: Compute) -> Contribution:
    """Sums of products: the same sums of squares are their squared terms."""
    return Contribution(inputs, compute, "", compute, True)


def added(parts: list[Contribution]) -> Contribution:
    """The sum of all: the first one, and to it the sum of the others."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([len(part.inputs) for part in parts]).tolist()

    def compute(*values: Values) -> Values:
        found = [part.compute(*values[end - len(part.inputs) : end]) for part, end in zip(parts, ends, strict=True)]
        return found[0] + sum(found[1:])

    inputs = tuple(name for part in parts for name in part.inputs)
    linear = all(part.linear for part in parts)
    return Contribution(inputs, compute, "", compute if linear else None, linear)
