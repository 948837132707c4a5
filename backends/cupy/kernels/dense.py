"""Dense layers: the product in float32 by the library, and a launch that adds the bias and rounds; in backward the
bias's gradient in two launches, without a wide copy of its summands."""

from typing import Any, NamedTuple

import numpy as np

from ....arrays import Array, Namespace
from ....ops.dense import DenseGrads
from ....ops.op import Kernel
from .columns import MOST_BLOCKS, column_sums, down_columns
from .device import Device, ceil_div, rows_of
from .sources import expression


class Cache(NamedTuple):
    """Both factors: each is what the other's gradient needs; whether there was a bias."""

    x: Array
    weight: Array
    has_bias: bool


def dense(device: Device) -> Kernel:
    """The kernel on a device."""

    def serves(x: Any, weight: Any, bias: Any = None) -> bool:
        """x of at least one row in float32, float16 or bfloat16."""
        alike = device.serves(x, weight, *([] if bias is None else [bias]))
        return alike and x.ndim >= 2 and x.size > 0 and weight.size > 0

    def forward(
        xp: Namespace, x: Array, weight: Array, bias: Array | None = None, *, wide: bool = False
    ) -> tuple[Array, Cache]:
        """x (..., I), weight (O, I), bias (O) or None -> y (..., O), without a bias in float32 if it may be `wide`."""
        cache = Cache(x, weight, bias is not None)
        product = device.contiguous(xp.product(x, xp.matrix_transpose(weight)))
        if bias is None:
            return product if wide else xp.astype(product, x.dtype, copy=False), cache
        return _added(product, device.contiguous(bias)), cache

    def _added(product: Array, bias: Array) -> Array:
        y = device.empty(product.shape, bias.dtype)
        rows, width = rows_of(product)
        V = device.elements_at_once(width, product, bias, y)
        shape = down_columns(device, width, V, min(ceil_div(rows, device.tuning.bias_rows), MOST_BLOCKS))
        kernel = expression("bias_add", bias.dtype.name, V)
        device.launch("bias", kernel, shape, product, bias, y, np.int64(rows), np.int64(width))
        return y

    def backward(xp: Namespace, dy: Array, cache: Cache) -> DenseGrads:
        """dy (..., O) -> gradients of x and weight, in their type, and bias, in float32, if there was one."""
        x, weight, has_bias = cache
        above = device.contiguous(xp.astype(dy, x.dtype, copy=False)).reshape(-1, dy.shape[-1])
        dx = xp.astype(xp.matmul(above, weight), x.dtype, copy=False).reshape(x.shape)
        dweight = xp.matmul(xp.matrix_transpose(above), x.reshape(-1, x.shape[-1]))
        dbias = column_sums(device, above) if has_bias else None
        return DenseGrads(dx, xp.astype(dweight, x.dtype, copy=False), dbias)

    return Kernel("dense", forward, backward, serves, hints=("wide",))
