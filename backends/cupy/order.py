"""Which rows go where: what sums at duplicate indices need to be made in a fixed order."""

from typing import Any

import numpy as np

from ...arrays import Array


def sorted_rows(library: Any, index: Array, rows: int) -> tuple[Array, Array]:
    """`order` (N): the places of `index` (N), sorted by the row that each names, and `first` (rows + 1): where in it
    those of a row begin; int64. `library` is cupy or numpy."""
    order = library.argsort(index, kind="stable")
    first = library.searchsorted(index[order], library.arange(rows + 1, dtype=index.dtype))
    return order.astype(np.int64), first.astype(np.int64)
