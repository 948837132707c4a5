"""Weights that won't change any more, kept a second time in the order in which MKL reads them.

Otherwise every product puts its factors into that order anew. With the rows of a sentence or two that takes an eighth
of an encoder's time, with many rows next to nothing; so a weight is put in order at its first product with few rows,
which takes about fifteen times as long as any later one gains.
"""

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from ...namespace import HostArray
from . import mkl


class _Weight:
    """A weak reference to an array, and its numbers in MKL's order, when somebody has asked for them."""

    __slots__ = ("array", "ordered")

    def __init__(self, array: "weakref.ref[HostArray]") -> None:
        self.array = array
        self.ordered: mkl.Ordered | None = None


_weights: dict[int, _Weight] = {}
"""By the identity of the array, as long as it lives."""


def freeze(arrays: Iterable[Any]) -> None:
    """Makes them read-only. Whoever makes one writable and changes it has to freeze it again."""
    for array in arrays:
        array.flags.writeable = False
        if array.dtype == np.float32 and array.ndim == 2:
            _weights[id(array)] = _Weight(weakref.ref(array, partial(_forget, id(array))))


def _forget(number: int, _: Any) -> None:
    _weights.pop(number, None)


def multiply(x: HostArray, weight: HostArray, out: HostArray, threads: int) -> bool:
    """out = x weightᵀ on at most so many threads: x (N, I), weight (O, I), out (N, O), float32. Whether it was made:
    the weight is frozen, and MKL is used."""
    known = _weights.get(id(weight))
    if known is None or known.array() is not weight or weight.flags.writeable:
        return False
    if known.ordered is None:
        known.ordered = mkl.in_order(weight)
    return known.ordered is not None and mkl.multiply_ordered(x, known.ordered, out, threads)
