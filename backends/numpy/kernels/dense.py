"""Dense layers: products in tiles, written where they belong, transposed by BLAS."""

from typing import Any, NamedTuple

import numpy as np

from ....arrays import Namespace
from ....ops.dense import DenseGrads
from ....ops.op import Kernel
from ..blas import frozen
from ..blas.products import SMALL, multiply
from ..threads import available, inside
from .buffers import HostArray, empty
from .rows import as_rows, reals
from .tiles import TILE_ROWS, cuts, products, share_out

BLAS_ROWS = 512
"""Products of at most so many rows are left to BLAS and its own threads where no gradients will be asked for. These
spin between two products, and start sooner than ours: one sentence takes two thirds of the time. How OpenBLAS's
divide the work depends on their number, and so may a result's last bit, which training must not allow. Within a piece
of work, whose products nobody shares, tiles would only be more to do: there it makes products of any size."""


class Cache(NamedTuple):
    """As in the reference: both factors, and whether there was a bias."""

    x: HostArray
    weight: HostArray
    has_bias: bool


def serves(x: Any, weight: Any, bias: Any = None) -> bool:
    """float32 and float64, at least one row in shape."""
    return reals(x, weight, *([] if bias is None else [bias])) and x.ndim >= 2 and min(weight.shape) > 0


def forward(
    xp: Namespace, x: HostArray, weight: HostArray, bias: HostArray | None = None, *, gradients: bool = True
) -> tuple[HostArray, Cache]:
    """x (..., I), weight (O, I), bias (O) or None -> y (..., O)."""
    rows = as_rows(x)
    y = empty((*x.shape[:-1], weight.shape[0]), x.dtype)
    few = rows.shape[0] <= BLAS_ROWS
    if not gradients and (few or inside()):
        with np.errstate(all="ignore"):
            worth = few and y.size * weight.shape[1] >= SMALL
            if not worth or not frozen.multiply(rows, weight, as_rows(y), available()):
                multiply(rows, weight.T, as_rows(y), available())
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
