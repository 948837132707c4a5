"""Noticing that a file was written in the other byte order.

Read in the wrong order, the exponent of a number is what were the low bits of its mantissa: anything. The numbers of a
neural network lie within a few powers of ten. So a tensor whose numbers lie all over the range, but close together
once their bytes are swapped, was written by a big-endian program, or by one that swapped too much.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint.raw import widened
from .tensors import DTYPES

_LIMITS = {"float64": (200.0, 150.0), "float32": (25.0, 40.0), "bfloat16": (25.0, 40.0), "float16": (5.0, 11.0)}
"""dtype -> the spread (standard deviation) and the median, in powers of two, that sensible numbers stay below.

A mantissa's bits as an exponent spread by 0.29 of its range: 591, 74, 74, 9.
"""

FEWEST = 8
"""Fewer different numbers than this prove nothing."""


def swapped(bits: npt.NDArray[Any], dtype: str) -> bool:
    """Whether the stored elements (bfloat16 as uint16) are absurd as they stand and sensible with bytes swapped."""
    if dtype not in _LIMITS:
        return False
    flat = bits.reshape(-1)
    flat = np.unique(flat[:: max(1, flat.size // 4096)])
    flat = flat[flat != 0]
    if flat.size < FEWEST:
        return False
    return not _sensible(flat, dtype) and _sensible(flat.byteswap(), dtype)


def _sensible(flat: npt.NDArray[Any], dtype: str) -> bool:
    numbers = widened(flat) if dtype == "bfloat16" else flat.astype(DTYPES[dtype], copy=False)
    if not np.isfinite(numbers).all():
        return False
    numbers = numbers.astype(np.float64)
    exponents = np.frexp(numbers[numbers != 0])[1]
    if exponents.size < FEWEST:
        return False
    spread, median = _LIMITS[dtype]
    return bool(exponents.std() < spread and abs(np.median(exponents)) < median)
