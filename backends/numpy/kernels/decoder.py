"""The MLM decoder and its loss, with the logits' array swept once.

Forward turns the logits (N, V) row by row into exponentials, e = exp(logits - max), whose row sums are Z, and puts
e - Z in the label's place. That is minus the sum of the others: where the label has nearly all of the probability no
digit is lost, in the loss neither, while p - 1, which the reference computes, has few of them left. Then

    dlogits[n, v] = f_n e[n, v]        f_n = dloss w_n / (d Z_n)

so that backward does not touch the array at all; its products take the factors at their narrow side:

    dx = f ∘ (e E)        dE = eᵀ (f ∘ x)        db = f e

Rows that don't count are set to 0: in e, and in f ∘ x, where 0 times NaN or infinity would be NaN. Where a row has its
maximum is what the model predicts, the figure `predicted`.

Keeping e is faster than making the logits again: that product takes ten times as long as writing and reading them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ....arrays import Namespace
from ....ops.decoder_cross_entropy import DecoderCrossEntropyGrads
from ....ops.op import Kernel
from .buffers import HostArray, empty
from .rows import over_rows, reals
from .tiles import products, share_out


class Cache(NamedTuple):
    """Both factors of the logits; e (N, V), with e - Z at the labels; w_n / (d Z_n), (N); which rows count, (N)."""

    x: HostArray
    table: HostArray
    exponentials: HostArray
    factors: HostArray
    counts: HostArray


def serves(
    x: Any, table: Any, bias: Any, labels: Any, weights: Any, denominator: Any, *, figure: Any = None
) -> bool:
    """float32 and float64, x (N, H) of at least one row; weights and denominator in the same type."""
    types = {a.dtype for a in (x, weights, denominator)}
    return reals(x, table, bias) and len(types) == 1 and x.ndim == 2 and min(x.shape) > 0


def forward(
    xp: Namespace,
    x: HostArray,
    table: HostArray,
    bias: HostArray,
    labels: HostArray,
    weights: HostArray,
    denominator: HostArray,
    *,
    figure: Callable[[str, HostArray], None] | None = None,
) -> tuple[Any, Cache]:
    """x (N, H), table (V, H), bias (V), labels (N) integer, weights (N), denominator () -> loss ()."""
    N, V = x.shape[0], table.shape[0]
    e = empty((N, V), x.dtype)
    share_out(products(x, table.T, e, bias), x.size * V)
    with np.errstate(all="ignore"):
        factors = weights / denominator
    chosen, scaled, predicted = np.empty(N, x.dtype), np.empty(N, x.dtype), np.empty(N, np.int64)

    def block(_: int, r: slice) -> None:
        rows, label = e[r], labels[r]
        number = np.arange(rows.shape[0])
        best = np.argmax(rows, axis=1)
        np.subtract(rows, rows[number, best, None], out=rows)
        at_label = rows[number, label]
        np.exp(rows, out=rows)
        of_label = rows[number, label]
        rows[number, label] = 0
        others = np.add.reduce(rows, axis=1)
        rows[number, label] = -others
        total = others + of_label
        chosen[r] = np.where(at_label == 0, -np.log1p(others), at_label - np.log(total))
        scaled[r], predicted[r] = factors[r] / total, best
        rows[factors[r] == 0] = 0
        scaled[r][factors[r] == 0] = 0

    over_rows(block, N, V)
    if figure:
        figure("predicted", predicted)
    loss = -np.sum(np.where(factors == 0, x.dtype.type(0), chosen * factors))
    return loss, Cache(x, table, e, scaled, factors != 0)


def backward(xp: Namespace, dy: Any, cache: Cache) -> DecoderCrossEntropyGrads:
    """dy (), the gradient of the loss -> gradients of x, table and bias."""
    x, table, e, scaled, counts = cache
    factors = np.expand_dims(scaled * dy, 1).astype(x.dtype, copy=False)
    dx, dtable = empty(x.shape, x.dtype), empty(table.shape, table.dtype)
    dbias = np.empty((1, table.shape[0]), table.dtype)
    with np.errstate(invalid="ignore"):
        weighted = x * factors
    weighted[~counts] = 0
    # the largest tiles first, so that no thread is left alone with one
    tasks = products(e, table, dx) + products(e.T, weighted, dtable) + products(factors.T, e, dbias)
    share_out(tasks, 2 * x.size * table.shape[0])
    return DecoderCrossEntropyGrads(np.multiply(dx, factors, out=dx), dtable, dbias[0])


decoder_cross_entropy = Kernel("decoder_cross_entropy", forward, backward, serves)
