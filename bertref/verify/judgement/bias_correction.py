"""Adam's bias corrections as float32 gives them: 1 - βᵗ with β, the power and the difference each rounded.

optax, MLX, Keras, TensorFlow and tinygrad compute them so. Where βᵗ is close to 1, the difference keeps its rounding:
at step 7 and β₂ = 0.999 it is off by 1e-5, forty to ninety times what a float32 update rounds. All updates have the
same error, so it can be told from any other: a few candidates, each of which is exactly what some implementation
computes, are tried on the smallest updates.

Some hold β in float32 for the moments, too, so that 1 - β is the difference of float32 numbers. Of these some correct
in float64, by the powers of β as given or as held: C that declares β as float and calls pow.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, product

import numpy as np

from ...optim import Optimizer
from ..records import Arrays, OptimizerCase
from .alternatives import fitting, wrong_of

NOTE = "bias corrections, or betas, are judged as computed in float32"

Pair = tuple[float, float]

ULPS = 2
"""By so many units in the last place a library's power may be off. Fewer: right implementations with a vectorised
power don't fit; more: an update takes longer to judge, and errors as large as those units are excused."""
SAME = 2.0**-23
"""Corrections closer than this give the same update: each of its operations rounds by up to half of it."""
TRIED, LARGEST = 8, 1 << 16
"""So many updates choose the correction: those that have the fewest elements or, where these have at most LARGEST, the
smallest weights. More take longer, and all have the same one."""
REACH = 1000.0
"""Times what rounding explains: corrections in float32 make no update wrong by more, 39 to 89 times at step 7, some six
times as much at step 1. Larger: mistakes in all updates take longer to judge."""
LEFT_WRONG = 0.75
"""Of the updates, that may be wrong all the same. Less: biases and norms that are decayed, which are most of the
parameters, make all others wrong; more: a few that are right by chance choose a correction."""


@dataclass(frozen=True)
class Corrected(Optimizer):
    """An optimiser whose corrections are given instead of computed."""

    corrections: tuple[float, float] = (1.0, 1.0)

    def numbers(self, rate: float, step: int) -> dict[str, float]:
        """As the optimiser's, with the given corrections."""
        return super().numbers(rate, step) | dict(zip(("correction1", "correction2"), self.corrections, strict=True))


def explaining(
    step: OptimizerCase, params: Arrays, before: Mapping[str, float], ratio: Callable[[Optimizer, str], float]
) -> Optimizer | None:
    """The candidate that explains more of the updates than the step's own optimiser does, if there is one. Where it is
    not to be seen in the smallest updates, since another mistake is in these, it is in those of the smallest weights,
    which are rounded least.

    before  each update's own error over the noise floor, by its name ("update:..."), as the step's own optimiser has it
    ratio   the same for another optimiser and a name
    """
    wrong = {name: params[name.removeprefix("update:")] for name in wrong_of(before)}
    smallest = sorted(wrong, key=lambda name: wrong[name].size)
    within = [name for name, value in wrong.items() if value.size <= LARGEST and before[name] <= REACH]
    least = sorted(within, key=lambda name: float(np.mean(np.square(wrong[name]))))
    tries = (fitting(candidates(step), before, ratio, tried[:TRIED], LEFT_WRONG) for tried in (smallest, least))
    return next((chosen for chosen in tries if chosen is not None), None)


def candidates(step: OptimizerCase) -> Iterator[Optimizer]:
    """The step's optimiser with its corrections, and perhaps its betas, as implementations in float32 have them."""
    optimizer = step.optimizer
    if "correction1" not in optimizer.rule.numbers:
        beta1, beta2 = (_single(beta) for beta in optimizer.betas)
        if (beta1, beta2) != optimizer.betas:
            yield replace(optimizer, beta1=beta1, beta2=beta2)
        return
    betas, count = optimizer.betas, step.step
    for (beta1, beta2), both in chain(corrected(betas, count), in_double(betas, count)):
        yield Corrected(**asdict(replace(optimizer, beta1=beta1, beta2=beta2)), corrections=both)


def corrected(betas: Pair, step: int) -> Iterator[tuple[Pair, Pair]]:
    """The betas, as they are and as float32 holds them, each with all pairs of corrections that float32 may give."""
    beta1, beta2 = betas
    for held in (betas, (_single(beta1), _single(beta2))):
        for both in product(_corrections(beta1, step), _corrections(beta2, step)):
            yield held, both


def in_double(betas: Pair, step: int) -> Iterator[tuple[Pair, Pair]]:
    """Betas and corrections of float64, of which some come from betas that float32 holds."""
    singles = _single(betas[0]), _single(betas[1])
    for held, powers in ((singles, betas), (singles, singles), (betas, singles)):
        yield held, (1 - powers[0] ** step, 1 - powers[1] ** step)


def _corrections(beta: float, step: int) -> list[float]:
    """1 - βᵗ in float32, for every float32 power that a library may have: the nearest and its neighbours, the product
    of t factors that is kept from step to step, and the products of repeated squaring, from either end of t's bits."""
    one = np.float32(1)
    exact = np.float32(_single(beta) ** step)
    powers = [exact, np.multiply.accumulate(np.full(step, beta, np.float32))[-1], *_squared(np.float32(beta), step)]
    for towards in (np.float32(0), np.float32(2)):
        near = exact
        for _ in range(ULPS):
            near = np.nextafter(near, towards)
            powers.append(near)
    found: list[float] = []
    for correction in (float(one - power) for power in powers):
        if correction > 0 and all(abs(correction - other) > SAME * other for other in found):
            found.append(correction)
    return found


def _squared(beta: np.float32, step: int) -> Iterator[np.float32]:
    """βᵗ by repeated squaring, as integer powers are made: from the lowest bit of t on, and from the highest."""
    low, high, square = np.float32(1), np.float32(1), beta
    for bit in bin(step)[:1:-1]:
        low, square = (low * square if bit == "1" else low), square * square
    for bit in bin(step)[2:]:
        high = high * high * (beta if bit == "1" else np.float32(1))
    yield from (low, high)


def _single(value: float) -> float:
    return float(np.float32(value))
