"""Dense layers: products cut into tiles that the threads share, written where they belong, transposed by BLAS.

A tile is so large that making it costs little more than its share of the whole product, and is decided by the shapes
and the machine's cores alone; each is one product on one thread. The bias is added while a tile is in the cache.
"""

import os
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Namespace
from ...ops.dense import DenseGrads
from ...ops.op import Kernel
from . import frozen, mkl
from .buffers import HostArray, empty
from .rows import as_rows, parts_of, reals
from .threads import here, one_by_one, run, unshared

TILE_ROWS, TILE_COLUMNS = 320, 768
"""The least that a product is cut into. BLAS copies both factors into an order of its own, for every tile again: at
these sizes that takes a twentieth of the time."""
HALF_COLUMNS = 256
"""The least for a product of few rows, which is cut into halves: one tile would keep one thread busy and the others
waiting, and with more of them BLAS copies the rows so often that it takes a third longer."""
BLAS_ROWS = 512
"""Products of at most so many rows are left to BLAS and its own threads where no gradients will be asked for. These are
wide awake between two products, and start sooner than ours: one sentence takes two thirds of the time. How OpenBLAS's
divide the work depends on their number, and so may a result's last bit, which training must not allow."""
MOST = max(2, os.cpu_count() or 1)
"""Into so many tiles a product is cut: one for each core of the machine, however many threads there are, so that their
number does not decide about bits. With four tiles for each core a step's products take a twentieth longer."""
FEW = 1 << 24
"""Multiplications that one thread makes in less time than it takes to wake another."""
SMALL = 1 << 20
"""Multiplications of a product that one thread makes, and that are not worth asking another library for."""


class Cache(NamedTuple):
    """As in the reference: both factors, and whether there was a bias."""

    x: HostArray
    weight: HostArray
    has_bias: bool


def serves(x: Any, weight: Any, bias: Any = None) -> bool:
    """float32 and float64, at least one row in shape."""
    return reals(x, weight, *([] if bias is None else [bias])) and x.ndim >= 2 and min(weight.shape) > 0


def cuts(length: int, least: int, most: int = MOST) -> list[slice]:
    """`length` in at most so many nearly equal parts of at least `least`, unless it is shorter itself."""
    return parts_of(length, max(1, min(most, length // least)))


def multiply(a: HostArray, b: HostArray, out: HostArray, threads: int) -> None:
    """out = a b, on so many threads where that can be said: MKL is told at every product, OpenBLAS by `threads`."""
    if out.size * a.shape[1] < SMALL:
        with unshared():
            np.matmul(a, b, out=out)
    elif not mkl.multiply(a, b, out, threads):
        np.matmul(a, b, out=out)


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
        one_by_one(piece, len(tasks))
    else:
        run(piece, len(tasks))


def forward(
    xp: Namespace, x: HostArray, weight: HostArray, bias: HostArray | None = None, *, gradients: bool = True
) -> tuple[HostArray, Cache]:
    """x (..., I), weight (O, I), bias (O) or None -> y (..., O)."""
    rows = as_rows(x)
    y = empty((*x.shape[:-1], weight.shape[0]), x.dtype)
    if not gradients and rows.shape[0] <= BLAS_ROWS:
        with np.errstate(all="ignore"):
            if y.size * weight.shape[1] < SMALL or not frozen.multiply(rows, weight, as_rows(y), here()):
                multiply(rows, weight.T, as_rows(y), here())
            if bias is not None:
                np.add(as_rows(y), bias, out=as_rows(y))
        return y, Cache(x, weight, bias is not None)
    share_out(products(rows, weight.T, as_rows(y), bias, alone=True), rows.shape[0] * weight.size)
    return y, Cache(x, weight, bias is not None)


def backward(xp: Namespace, dy: HostArray, cache: Cache) -> DenseGrads:
    """dy (..., O) -> gradients of x, weight and bias."""
    x, weight, has_bias = cache
    rows_x, rows_dy = as_rows(x), as_rows(dy)
    N, O = rows_dy.shape  # noqa: E741
    dx, dweight = empty(x.shape, x.dtype), empty(weight.shape, weight.dtype)
    tasks = products(rows_dy.T, rows_x, dweight) + products(rows_dy, weight, as_rows(dx))
    blocks = cuts(N, TILE_ROWS) if has_bias else []
    parts = np.empty((len(blocks), O), dy.dtype)

    def column_sums(i: int) -> None:
        np.add.reduce(rows_dy[blocks[i]], axis=0, out=parts[i])

    tasks += [(column_sums, i) for i in range(len(blocks))]
    share_out(tasks, 2 * N * weight.size)
    return DenseGrads(dx, dweight, np.add.reduce(parts, axis=0) if has_bias else None)


dense = Kernel("dense", forward, backward, serves, hints=("gradients",))
