"""Launches that go down the columns of a matrix, and the sums over its rows that they make part by part."""

import numpy as np

from ....arrays import Array
from .device import Device, Shape, ceil_div, warps
from .sources import expression

LANES = 16
"""Of column_sum.cu."""
MOST_BLOCKS = 65535
"""In a grid's y, by CUDA's rules."""


def down_columns(device: Device, width: int, V: int, parts: int) -> Shape:
    """A thread for V columns, in blocks of nearly equal size; `parts` of the rows."""
    threads = ceil_div(width, V)
    blocks = ceil_div(threads, device.tuning.column_threads)
    return Shape((blocks, parts), (warps(ceil_div(threads, blocks)), 1))


def parts_of(device: Device, rows: int) -> int:
    """Into how many parts rows are shared out whose sums are wanted."""
    return min(max(1, ceil_div(rows, device.tuning.column_rows)), device.tuning.column_parts)


def column_sums(device: Device, x: Array, weights: Array | None = None) -> Array:
    """x (N, I), weights (N) float32 or None -> sums over the rows (I), float32; a row of weight 0 adds 0."""
    return added(device, _summed(device, x, weights, parts_of(device, x.shape[0])))


def added(device: Device, parts: Array) -> Array:
    """Sums of parts (P, I), float32 -> (I)."""
    return _summed(device, parts, None, 1)[0]


def _summed(device: Device, x: Array, weights: Array | None, parts: int) -> Array:
    rows, width = x.shape
    out = device.empty((parts, width), np.float32)
    # where there is one part, there are few blocks: threads of one column each make more of them
    V = 1 if parts == 1 else device.elements_at_once(width, x, out)
    if width:
        shape = Shape((ceil_div(width, 32 * V), parts), (32, LANES))
        kernel = expression("column_sum", x.dtype.name, V)
        device.launch("column_sum", kernel, shape, x, weights, out, np.int64(rows), np.int64(width))
    return out
