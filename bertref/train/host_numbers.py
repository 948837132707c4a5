"""Numbers from the device, all at once: each fetch waits for what the device has still to do, and ends a compiler's
program."""

from collections.abc import Callable, Sequence

from ..arrays import Array, Namespace


def host_numbers(xp: Namespace, numbers: Sequence[Array]) -> list[float]:
    """The values of 0-d arrays."""
    return fetched_numbers(xp, numbers)()


def fetched_numbers(xp: Namespace, numbers: Sequence[Array]) -> Callable[[], list[float]]:
    """The values of 0-d arrays, once they have come: they are on their way (`xp.fetch`). What is narrower than the
    widest of them is widened, which is exact."""
    widest = xp.float64 if any(number.dtype == xp.float64 for number in numbers) else xp.float32
    values = xp.fetch(xp.stack([xp.astype(number, widest, copy=False) for number in numbers]))
    return lambda: values().tolist()
