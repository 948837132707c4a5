"""What the kernels share: cutting rows into blocks that stay in the cache, and what they ask of their arguments."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..threads import run, run_in_order
from .buffers import HostArray, scratch

BLOCK_ELEMENTS = 1 << 18
"""Elements of a block: few enough to stay in the caches, many enough that a pass over them takes much longer than the
interpreter's lock takes to be handed over, which happens after every pass. An eighth of this, which is best for one
thread alone, makes two threads together slower than one."""
FEW = 1 << 19
"""Elements that one thread computes in less time than it takes to start a piece on another: up to a millisecond where
that thread's core was idle."""


def reals(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of one type, float32 or float64, in this machine's byte order."""
    first = arrays[0]
    return all(
        isinstance(a, np.ndarray) and a.dtype == first.dtype and a.dtype.char in "fd" and a.dtype.isnative
        for a in arrays
    )


def is_keep(keep: Any, x: HostArray) -> bool:
    """Whether `keep` is a dropout mask for x, or None."""
    return keep is None or (isinstance(keep, np.ndarray) and keep.dtype == np.bool_ and keep.shape == x.shape)


def row_blocks(rows: int, width: int) -> list[slice]:
    """Slices over all rows, of nearly equal size and at most `BLOCK_ELEMENTS` elements, an even number of them where it
    pays to share them: decided by the shape and nothing else."""
    step = max(1, BLOCK_ELEMENTS // max(width, 1))
    number = -(-rows // step)
    if rows * width > FEW:
        number = min(number + number % 2, rows)
    return parts_of(rows, number)


def parts_of(length: int, number: int) -> list[slice]:
    """`length` in so many nearly equal parts."""
    ends = [length * i // max(number, 1) for i in range(number + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def over_rows(work: Callable[[int, slice], None], rows: int, width: int) -> int:
    """Calls `work(number, rows)` for every block, on all threads where it pays; the number of blocks."""
    blocks = row_blocks(rows, width)

    def piece(i: int) -> None:
        with np.errstate(all="ignore"):  # what overflows or is NaN is so in the reference; nobody is warned twice
            work(i, blocks[i])

    if rows * width <= FEW:
        run_in_order(piece, len(blocks))
    else:
        run(piece, len(blocks))
    return len(blocks)


def as_rows(x: HostArray) -> HostArray:
    """(..., H) -> (rows, H)."""
    return x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.reshape(int(np.prod(x.shape[:-1])), 0)


def kept(x: HostArray, keep: HostArray, out: HostArray, number: int) -> None:
    """`out` = x where kept, else 0, whatever x is there; it takes the scratch arrays `number` and `number + 1`.

    A byte 1 becomes -1, and that, made as wide as a real, has all bits set: a bitwise "and" then drops what is not
    kept. That is several times faster than choosing between two arrays.
    """
    whole = np.dtype(f"i{x.dtype.itemsize}")
    narrow, wide = scratch(number, x.shape, np.dtype(np.int8)), scratch(number + 1, x.shape, whole)
    np.negative(keep.view(np.int8), out=narrow)
    wide[...] = narrow
    np.bitwise_and(x.view(whole), wide, out=out.view(whole))
