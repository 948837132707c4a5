"""Layer norm, and dropout + residual + layer norm: one launch forward; backward one, and one that adds parts of dγ and
dβ."""

from typing import Any, NamedTuple

import numpy as np

from ....arrays import Array, Namespace
from ....ops.dropout_add_norm import DropoutAddNormGrads
from ....ops.layer_norm import LayerNormGrads
from ....ops.op import Kernel
from .columns import added
from .device import Device, Shape, ceil_div, rows_of, warps
from .sources import expression

ELEMENTS, MOST_THREADS = 8, 512
"""Of norm.cu: elements that a thread holds, threads of a block."""
LARGEST = ELEMENTS * MOST_THREADS
"""Of a row's lengths that are served."""


class Cache(NamedTuple):
    """The normalised rows (..., H), of x's type; 1/√(v + ε) (rows), float32; γ; what the dropout kept, its scale."""

    normalised: Array
    reciprocal: Array
    gamma: Array
    keep: Array | None
    scale: float


def layer_norm(device: Device) -> Kernel:
    """The norm alone."""

    def serves(x: Any, gamma: Any, beta: Any, *, eps: float) -> bool:
        """Rows of 1 to 4096 elements in float32, float16 or bfloat16."""
        return device.serves(x, gamma, beta) and _rows_are_served(x)

    def forward(
        xp: Namespace, x: Array, gamma: Array, beta: Array, *, eps: float, gradients: bool = True
    ) -> tuple[Array, Cache | None]:
        """x (..., H), gamma, beta (H) -> y (..., H). Without `gradients` there is no cache."""
        return _forward(device, x, None, None, gamma, beta, 1.0, eps, gradients)

    def backward(xp: Namespace, dy: Array, cache: Cache) -> LayerNormGrads:
        """dy (..., H) -> gradients of x, in dy's type, gamma and beta, in float32."""
        ds, _, dgamma, dbeta = _backward(device, dy, cache)
        return LayerNormGrads(ds, dgamma, dbeta)

    return Kernel("layer_norm", forward, backward, serves, hints=("gradients",))


def dropout_add_norm(device: Device) -> Kernel:
    """Dropout, residual connection and norm."""

    def serves(x: Any, residual: Any, keep: Any, gamma: Any, beta: Any, *, scale: float, eps: float) -> bool:
        """Rows of 1 to 4096 elements in float32, float16 or bfloat16."""
        alike = device.serves(x, residual, gamma, beta) and device.is_keep(keep, x.shape)
        return alike and residual.shape == x.shape and _rows_are_served(x)

    def forward(
        xp: Namespace,
        x: Array,
        residual: Array,
        keep: Array | None,
        gamma: Array,
        beta: Array,
        *,
        scale: float,
        eps: float,
        gradients: bool = True,
    ) -> tuple[Array, Cache | None]:
        """x, residual (..., H), keep boolean (..., H) or None, gamma, beta (H) -> y (..., H).

        Without `gradients` there is no cache."""
        return _forward(device, x, residual, keep, gamma, beta, scale, eps, gradients)

    def backward(xp: Namespace, dy: Array, cache: Cache) -> DropoutAddNormGrads:
        """dy (..., H) -> gradients of x and residual, in dy's type, gamma and beta, in float32."""
        ds, dx, dgamma, dbeta = _backward(device, dy, cache)
        return DropoutAddNormGrads(dx, ds, dgamma, dbeta)

    return Kernel("dropout_add_norm", forward, backward, serves, hints=("gradients",))


def _rows_are_served(x: Array) -> bool:
    return bool(x.ndim >= 2 and x.size > 0 and x.shape[-1] <= LARGEST)


def _threads(width: int) -> tuple[int, int]:
    return warps(ceil_div(width, ELEMENTS)), 1


def _forward(
    device: Device, x: Array, residual: Array | None, keep: Array | None, gamma: Array, beta: Array,
    scale: float, eps: float, gradients: bool,
) -> tuple[Array, Cache | None]:  # fmt: skip
    x, gamma, beta = (device.contiguous(a) for a in (x, gamma, beta))
    residual, keep = (None if a is None else device.contiguous(a) for a in (residual, keep))
    rows, width = rows_of(x)
    y = device.empty(x.shape, x.dtype)
    normalised = device.empty(x.shape, x.dtype) if gradients else None
    reciprocal = device.empty((rows,), np.float32) if gradients else None
    V = device.elements_at_once(width, x, residual, keep, gamma, beta, y, normalised)
    device.launch(
        "norm", expression("norm", x.dtype.name, V), Shape((rows, 1), _threads(width)),
        x, residual, keep, gamma, beta, y, normalised, reciprocal,
        np.int64(width), np.float32(scale), np.float32(eps),
    )  # fmt: skip
    return y, Cache(normalised, reciprocal, gamma, keep, scale) if gradients else None


def _backward(device: Device, dy: Array, cache: Cache) -> tuple[Array, Array, Array, Array]:
    """The gradients of the norm's argument, of what the dropout was given, of γ and of β."""
    dy = device.contiguous(dy)
    rows, width = rows_of(dy)
    ds = device.empty(dy.shape, dy.dtype)
    dx = None if cache.keep is None else device.empty(dy.shape, dy.dtype)
    blocks = min(ceil_div(rows, device.tuning.norm_rows), device.tuning.norm_parts)
    parts = device.empty((blocks, 2 * width), np.float32)
    V = device.elements_at_once(width, dy, cache.normalised, cache.gamma, cache.keep, ds, dx, parts)
    device.launch(
        "norm", expression("norm_back", dy.dtype.name, V), Shape((len(parts), 1), _threads(width)),
        dy, cache.normalised, cache.reciprocal, cache.gamma, cache.keep, ds, dx, parts,
        np.int64(rows), np.int64(width), np.float32(cache.scale),
    )  # fmt: skip
    sums = added(device, parts)
    return ds, ds if dx is None else dx, sums[:width], sums[width:]
