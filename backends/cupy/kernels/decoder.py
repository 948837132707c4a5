"""The MLM decoder and its loss: the logits' array becomes their gradient in place, so nothing else of its size is held.

    logits  = x Eᵀ                                          by the library
    logits <- softmax(logits + b) - onehot, and the loss    one launch
    dx = f ∘ (d E)      dE = dᵀ (f ∘ x)      db = Σ f d     f_n = dloss w_n / denominator, at the products' narrow side

Rows that don't count are 0 in d, and in f ∘ x, where 0 times NaN or infinity would be NaN.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ....arrays import Array, Namespace
from ....ops.decoder_cross_entropy import DecoderCrossEntropyGrads
from ....ops.op import Kernel
from .columns import column_sums
from .device import Device, Shape, ceil_div, product, warps
from .sources import expression

LARGEST = 1 << 24
"""Columns are told as float32."""


class Cache(NamedTuple):
    """Both factors of the logits; p - onehot (N, V); w_n / denominator (N)."""

    x: Array
    table: Array
    difference: Array
    factors: Array


def decoder_cross_entropy(device: Device) -> Kernel:
    """The kernel on a device."""

    def serves(
        x: Any, table: Any, bias: Any, labels: Any, weights: Any, denominator: Any, *, figure: Any = None
    ) -> bool:
        """float32, float16 and bfloat16, x (N, H) of at least one row; weights and denominator in float32."""
        alike = device.serves(x, table, bias) and device.serves(weights, denominator)
        return alike and weights.dtype == np.float32 and x.ndim == 2 and x.size > 0 and table.shape[0] < LARGEST

    def forward(
        xp: Namespace,
        x: Array,
        table: Array,
        bias: Array,
        labels: Array,
        weights: Array,
        denominator: Array,
        *,
        figure: Callable[[str, Array], None] | None = None,
    ) -> tuple[Array, Cache]:
        """x (N, H), table (V, H), bias (V), labels (N) integer, weights (N), denominator () -> loss ()."""
        logits = product(device, xp, x, xp.matrix_transpose(table), x.dtype)
        factors = device.contiguous(weights / denominator)
        losses = device.empty((len(x),), np.float32)
        predicted = device.empty((len(x),), np.int64) if figure else None
        whole = device.contiguous(xp.astype(labels, xp.int64, copy=False))
        _cross_entropy(device, logits, device.contiguous(bias), whole, factors, losses, predicted)
        if figure:
            figure("predicted", predicted)
        loss = column_sums(device, losses.reshape(-1, 1)).reshape(())
        return loss, Cache(x, table, logits, factors)

    def backward(xp: Namespace, dy: Array, cache: Cache) -> DecoderCrossEntropyGrads:
        """dy (), the gradient of the loss -> gradients of x and table, in their type, and bias, in float32."""
        x, table, difference, factors = cache
        own = xp.astype(factors * dy, xp.float32, copy=False)
        rows = xp.expand_dims(own, axis=1)
        counts = xp.expand_dims(factors != 0, axis=1)
        weighted = xp.where(counts, xp.astype(x * rows, x.dtype, copy=False), xp.zeros_like(x))
        dx = xp.astype(xp.matmul(difference, table) * rows, x.dtype, copy=False)
        dtable = product(device, xp, xp.matrix_transpose(difference), weighted, table.dtype)
        return DecoderCrossEntropyGrads(dx, dtable, column_sums(device, difference, device.contiguous(own)))

    return Kernel("decoder_cross_entropy", forward, backward, serves)


def _cross_entropy(
    device: Device, logits: Array, bias: Array, labels: Array, factors: Array, losses: Array, predicted: Array | None
) -> None:
    """Logits (N, V), without their bias, become p - onehot in place; losses (N) and predicted (N) are written."""
    rows, width = logits.shape
    V = device.elements_at_once(width, logits, bias, most=device.tuning.logits_width)
    threads = min(warps(ceil_div(width, V)), device.tuning.logits_threads)
    kernel = expression("cross_entropy", logits.dtype.name, V)
    device.launch(
        "cross_entropy", kernel, Shape((rows, 1), (threads, 1)),
        logits, bias, labels, factors, losses, predicted, np.int64(width),
    )  # fmt: skip
