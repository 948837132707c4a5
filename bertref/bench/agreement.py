"""Before anything is timed: do both sides compute the same?

Each side answers with figures of the same names, made from the same weights and the same batch with dropout off. Two
programs that do the same work agree to rounding; one that got a weight or a mask wrong is not worth racing against.
"""

import math
from collections.abc import Mapping, Sequence

from ..errors import InputError

LIMIT = 1e-3
"""Relative difference of two right programs, at most, in float32."""

HALF_LIMIT = 5e-2
"""The same where ours computes in half precision."""

Figure = float | Sequence[float]
Figures = Mapping[str, Figure]


def difference(a: Figure, b: Figure) -> float:
    """The distance of two numbers or vectors relative to the longer; infinite where they are not finite."""
    x, y = _vector(a), _vector(b)
    if len(x) != len(y):
        return math.inf
    apart = math.hypot(*(i - j for i, j in zip(x, y, strict=True)))
    length = max(math.hypot(*x), math.hypot(*y))
    if not (math.isfinite(apart) and math.isfinite(length)):
        return math.inf
    return apart / length if length else 0.0


def _vector(figure: Figure) -> Sequence[float]:
    return figure if isinstance(figure, Sequence) else (figure,)


def _shown(figure: Figure) -> str:
    return f"a vector of length {math.hypot(*figure):.6g}" if isinstance(figure, Sequence) else f"{figure:.6g}"


def check(ours: Figures, peer: Figures, name: str, limit: float = LIMIT) -> dict[str, float]:
    """The figures' differences. Raises `InputError`, naming the worst figure, if they are beyond `limit`, and where
    one side lacks a figure."""
    lacking = sorted(set(ours) ^ set(peer))
    if lacking:
        raise InputError(f"not timed: ours and {name} answer different things ({', '.join(lacking[:3])})")
    found = {figure: difference(value, peer[figure]) for figure, value in ours.items()}
    worst = max(found, key=lambda figure: found[figure])
    if not found[worst] <= limit:
        raise InputError(
            f"not timed: {name} does not compute the same: {worst} is {_shown(peer[worst])} there and "
            f"{_shown(ours[worst])} here, {found[worst]:.1e} apart (at most {limit:g}); check its version"
        )
    return found
