"""What several backends do with NumPy arrays: rows added at duplicate indices, and the byte order put right."""

import numpy as np

from . import half
from .namespace import HostArray

WIDE_ROW = 256
"""From this many elements a row, one vector addition a row beats NumPy's element-by-element `add.at`."""


def add_rows(x: HostArray, index: HostArray, values: HostArray) -> HostArray:
    """`index_add` in NumPy. Either way a row's values are added one after the other, in order of `index`."""
    if half.is_half(x.dtype):
        return add_rows(x.astype(np.float32), index, values).astype(x.dtype)
    out = x.copy()
    if values.size < WIDE_ROW * len(index):
        np.add.at(out, index, values)
    else:
        for row, value in zip(index.tolist(), values, strict=True):
            out[row] += value
    return out


def native(array: HostArray) -> HostArray:
    """The array in this machine's byte order; files may bring another."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))
