"""A product cut into tiles, which the threads share.

A tile is so large that making it costs little more than its share of the whole product, and is decided by the shapes
and the machine's cores alone; each is one product on one thread. A bias is added while a tile is in the cache.
"""

import os
from typing import Any

import numpy as np

from ..blas.products import multiply
from ..threads import run, run_in_order
from .buffers import HostArray
from .rows import parts_of

TILE_ROWS, TILE_COLUMNS = 320, 768
"""The least that a product is cut into. BLAS copies both factors into an order of its own, for every tile again: at
these sizes that takes a twentieth of the time."""
HALF_COLUMNS = 256
"""The least for a product of few rows, which is cut into halves: one tile would keep one thread busy and the others
waiting, and with more of them BLAS copies the rows so often that it takes a third longer."""
MOST = max(2, os.cpu_count() or 1)
"""Into so many tiles a product is cut: one for each core of the machine, however many threads there are, so that their
number does not decide about bits. With four tiles for each core a step's products take a twentieth longer."""
FEW = 1 << 24
"""Multiplications that one thread makes in less time than it takes to wake another."""


def cuts(length: int, least: int, most: int = MOST) -> list[slice]:
    """`length` in at most so many nearly equal parts of at least `least`, unless it is shorter itself."""
    return parts_of(length, max(1, min(most, length // least)))


def products(
    a: HostArray, b: HostArray, out: HostArray, bias: HostArray | None = None, *, alone: bool = False
) -> list[Any]:
    """The tiles of out = a b + bias as functions to call: a (N, K), b (K, M), bias (M). `alone`: nothing else is."""
    row_cuts = cuts(out.shape[0], TILE_ROWS)
    column_cuts = cuts(out.shape[1], TILE_COLUMNS, -(-MOST // len(row_cuts)))
    if alone and len(row_cuts) == 1 and len(column_cuts) < MOST:
        column_cuts = cuts(out.shape[1], max(HALF_COLUMNS, out.shape[1] // 2))

    def tile(r: slice, c: slice) -> None:
        multiply(a[r], b[:, c], out[r, c], 1)
        if bias is not None:
            np.add(out[r, c], bias[c], out=out[r, c])

    return [(tile, r, c) for r in row_cuts for c in column_cuts]


def share_out(tasks: list[Any], multiplications: int) -> None:
    """Makes the tiles: on all threads where that pays."""

    def piece(i: int) -> None:
        function, *arguments = tasks[i]
        with np.errstate(all="ignore"):
            function(*arguments)

    if multiplications <= FEW:
        run_in_order(piece, len(tasks))
    else:
        run(piece, len(tasks))
