"""Numbers from the device: what a step has to know on the host before it goes on."""

from collections.abc import Sequence

from ..arrays import Array, Namespace


def host_numbers(xp: Namespace, numbers: Sequence[Array]) -> list[float]:
    """The values of 0-d arrays, all by one fetch: each fetch waits for everything that the device still does, and ends
    a compiler's program. What is narrower than the widest of them is widened, which is exact."""
    widest = xp.float64 if any(number.dtype == xp.float64 for number in numbers) else xp.float32
    found: list[float] = xp.to_numpy(xp.stack([xp.astype(number, widest, copy=False) for number in numbers])).tolist()
    return found
