"""Number formats, and rounding to them in NumPy, which computes in float32 and float64 only.

A value of a narrower format is held in a float32. To round, the low bits of its pattern are cut after adding half of
what they can hold (nearest, ties to even) or a random part of it (stochastic: up or down as often as the distance
says).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class Format:
    """A floating-point format: its name, its width, and the bits of its significand after the leading one."""

    name: str
    bits: int
    digits: int

    @property
    def unit(self) -> float:
        """Half the distance from 1 to the next number: the largest relative error of one rounding."""
        return 2.0 ** -(self.digits + 1)

    @property
    def held(self) -> npt.DTypeLike:
        """The NumPy type that holds its values."""
        return np.float64 if self.bits == 64 else np.float32


FORMATS = {
    f.name: f
    for f in (
        Format("bfloat16", 16, 7), Format("float16", 16, 10), Format("float32", 32, 23), Format("float64", 64, 52)
    )
}  # fmt: skip
TF32 = Format("tf32", 19, 10)
SMALLEST_HALF = 2.0**-24
"""The smallest number of float16: everything is a multiple of it."""


def widest(a: Format, b: Format) -> Format:
    """What arithmetic between the two gives; float32 for two different halves."""
    if a.bits == b.bits:
        return a if a == b else FORMATS["float32"]
    return a if a.bits > b.bits else b


def nearest(values: Floats, to: Format) -> Floats:
    """float32 or float64 values rounded to the format, in the type that holds it."""
    if to.name in ("float32", "float64"):
        with np.errstate(over="ignore"):
            return values.astype(to.held, copy=False)
    single = np.asarray(values, np.float32)
    if to.name == "float16":
        with np.errstate(over="ignore"):
            return single.astype(np.float16).astype(np.float32)
    dropped = 23 - to.digits
    bits: npt.NDArray[Any] = single.view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1) + ((bits >> np.uint32(dropped)) & np.uint32(1))
    return _cut(single, bits + half, dropped)


def stochastic(values: Floats, to: Format, draw: np.random.Generator) -> Floats:
    """The same, up or down by chance."""
    if to.name in ("float32", "float64"):
        # the operation has rounded once already; another half unit up or down stands for another rounding of it
        noise = draw.random(values.shape, dtype=np.float32) * np.float32(2) - np.float32(1)
        return (values * (1 + to.unit * noise.astype(to.held))).astype(to.held, copy=False)
    single = np.asarray(values, np.float32)
    if to.name == "float16":
        _, exponent = np.frexp(single)
        step = np.where(single == 0, 0, np.ldexp(np.float32(1), np.maximum(exponent - (to.digits + 1), -24)))
        noise = draw.random(single.shape, dtype=np.float32) - np.float32(0.5)
        return nearest(np.where(np.isfinite(single), single + step * noise, single), to)
    dropped = 23 - to.digits
    added = draw.integers(0, 1 << dropped, size=single.shape, dtype=np.uint32)
    return _cut(single, single.view(np.uint32) + added, dropped)


def _cut(values: Floats, bits: npt.NDArray[Any], dropped: int) -> Floats:
    """The patterns without their low bits; NaN and infinities stay as they were."""
    kept: Floats = (bits & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)).view(np.float32)
    return np.where(np.isfinite(values), kept, values)


def narrowest(values: Floats) -> Format:
    """The narrowest format that holds all the finite values exactly, bfloat16 before float16."""
    finite = values[np.isfinite(values)]
    for f in FORMATS.values():
        if (nearest(finite, f).astype(np.float64) == finite).all():
            return f
    return FORMATS["float64"]
