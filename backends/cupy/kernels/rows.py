"""Embedding, gather, packing and unpacking: rows taken by their numbers, and added to where they were taken from."""

from typing import Any

import numpy as np

from ....arrays import Array, Namespace
from ....ops.embedding import EmbeddingCache, EmbeddingGrads
from ....ops.gather import GatherCache, GatherGrads
from ....ops.op import Kernel
from ....ops.packing import PackingCache, PackingGrads
from ..order import sorted_rows
from .device import Device, Shape, ceil_div, warps
from .sources import expression

OFTEN = 4
"""So many rows for one of the table: then a block of scatter_rows adds more of them at once."""


def embedding(device: Device) -> Kernel:
    """Lookup in a table, and the sum over duplicate ids."""

    def serves(table: Any, ids: Any) -> bool:
        """A table (V, H) of float32, float16 or bfloat16, at least one id."""
        return _are_served(device, table, ids)

    def forward(xp: Namespace, table: Array, ids: Array) -> tuple[Array, EmbeddingCache]:
        """table (V, H), ids (N) integer -> y (N, H)."""
        return _gather(device, table, ids, None), EmbeddingCache(table, ids)

    def backward(xp: Namespace, dy: Array, cache: EmbeddingCache) -> EmbeddingGrads:
        """dy (N, H) -> gradient of the table."""
        return EmbeddingGrads(_scatter(device, dy, cache.ids, cache.table.shape[0]))

    return Kernel("embedding", forward, backward, serves)


def gather(device: Device) -> Kernel:
    """Rows at positions."""

    def serves(x: Any, index: Any) -> bool:
        """x (T, H) of float32, float16 or bfloat16, at least one position."""
        return _are_served(device, x, index)

    def forward(xp: Namespace, x: Array, index: Array) -> tuple[Array, GatherCache]:
        """x (T, H), index (N) integer -> y (N, H)."""
        return _gather(device, x, index, None), GatherCache(x, index)

    def backward(xp: Namespace, dy: Array, cache: GatherCache) -> GatherGrads:
        """dy (N, H) -> gradient of x."""
        return GatherGrads(_scatter(device, dy, cache.index, cache.x.shape[0]))

    return Kernel("gather", forward, backward, serves)


def unpack(device: Device) -> Kernel:
    """From the packed layout to the padded one."""

    def forward(xp: Namespace, x: Array, slots: Array, valid: Array, places: Array) -> tuple[Array, PackingCache]:
        """x (T, H) -> y (B*S, H), 0 at the padding."""
        return _gather(device, x, slots, valid), PackingCache(slots, valid, places)

    def backward(xp: Namespace, dy: Array, cache: PackingCache) -> PackingGrads:
        """dy (B*S, H) -> gradient of x (T, H)."""
        return PackingGrads(_gather(device, dy, cache.places, None))

    return Kernel("unpack", forward, backward, _serves_packing(device))


def pack(device: Device) -> Kernel:
    """From the padded layout to the packed one."""

    def forward(xp: Namespace, x: Array, slots: Array, valid: Array, places: Array) -> tuple[Array, PackingCache]:
        """x (B*S, H) -> y (T, H)."""
        return _gather(device, x, places, None), PackingCache(slots, valid, places)

    def backward(xp: Namespace, dy: Array, cache: PackingCache) -> PackingGrads:
        """dy (T, H) -> gradient of x (B*S, H), 0 at the padding."""
        return PackingGrads(_gather(device, dy, cache.slots, cache.valid))

    return Kernel("pack", forward, backward, _serves_packing(device))


def _are_served(device: Device, x: Any, index: Any) -> bool:
    whole = isinstance(index, device.library.ndarray) and index.ndim == 1 and index.dtype.kind in "iu"
    return whole and index.size > 0 and device.serves(x) and x.ndim == 2 and x.size > 0


def _serves_packing(device: Device) -> Any:
    def serves(x: Any, slots: Any, valid: Any, places: Any) -> bool:
        """Rows of float32, float16 or bfloat16, at least one token."""
        return _are_served(device, x, slots) and _are_served(device, x, places)

    return serves


def _numbers(device: Device, index: Array) -> Array:
    return device.contiguous(index.astype(np.int64, copy=False))


def _gather(device: Device, x: Array, index: Array, valid: Array | None) -> Array:
    """x[index] (N, H), with 0 where not `valid`."""
    x, width = device.contiguous(x), x.shape[1]
    valid = None if valid is None else device.contiguous(valid)
    y = device.empty((len(index), width), x.dtype)
    V = device.elements_at_once(width, x, y)
    shape = Shape((len(index), 1), (min(warps(ceil_div(width, V)), device.tuning.gather_threads), 1))
    kernel = expression("gather_rows", x.dtype.name, V)
    device.launch("rows", kernel, shape, x, _numbers(device, index), valid, y, np.int64(width))
    return y


def _scatter(device: Device, values: Array, index: Array, rows: int) -> Array:
    """Sums of values (N, H) by the row that `index` (N) names: (rows, H)."""
    values, (N, width) = device.contiguous(values), values.shape
    y = device.empty((rows, width), values.dtype)
    order, first = sorted_rows(device.library, index, rows)
    V = device.elements_at_once(width, values, y)
    lanes = device.tuning.scatter_many if OFTEN * rows < N else device.tuning.scatter_lanes
    shape = Shape((rows, ceil_div(width, 32 * V)), (32, lanes))
    kernel = expression("scatter_rows", values.dtype.name, V)
    device.launch("rows", kernel, shape, values, order, first, y, np.int64(width))
    return y
