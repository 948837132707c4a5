"""Bias and GELU: one launch forward; backward one for dx and the parts of db, one that adds these."""

from typing import Any, NamedTuple

import numpy as np

from ....arrays import Array, Namespace
from ....ops.bias_activation import BiasActivationGrads
from ....ops.op import Kernel
from .columns import MOST_BLOCKS, added, down_columns, parts_of
from .device import Device, ceil_div, rows_of
from .sources import expression

FORMS = {"gelu_erf": 0, "gelu_tanh": 1}


class Cache(NamedTuple):
    """The arguments: h = x + b is made again."""

    x: Array
    bias: Array
    form: int


def bias_activation(device: Device) -> Kernel:
    """The kernel on a device."""

    def serves(x: Any, bias: Any, *, activation: str) -> bool:
        """Both GELUs in float32, float16 and bfloat16; x may be a product in float32 that was not rounded yet."""
        alike = device.serves(x, bias) or (device.serves(x) and device.serves(bias) and x.dtype == np.float32)
        return alike and activation in FORMS and x.ndim >= 2 and x.size > 0

    def forward(xp: Namespace, x: Array, bias: Array, *, activation: str) -> tuple[Array, Cache]:
        """x (..., I), bias (I) -> y (..., I), of bias's type."""
        x, bias = device.contiguous(x), device.contiguous(bias)
        y = device.empty(x.shape, bias.dtype)
        rows, width = rows_of(x)
        V = device.elements_at_once(width, x, bias, y)
        shape = down_columns(device, width, V, min(ceil_div(rows, device.tuning.bias_rows), MOST_BLOCKS))
        kernel = expression("bias_gelu", x.dtype.name, bias.dtype.name, V)
        form = FORMS[activation]
        device.launch("gelu", kernel, shape, x, bias, y, np.int64(rows), np.int64(width), np.int32(form))
        return y, Cache(x, bias, form)

    def backward(xp: Namespace, dy: Array, cache: Cache) -> BiasActivationGrads:
        """dy (..., I) -> gradients of x, in dy's type, and bias, in float32."""
        x, bias, form = cache
        dy = device.contiguous(dy)
        rows, width = rows_of(x)
        dx, parts = device.empty(dy.shape, dy.dtype), device.empty((parts_of(device, rows), width), np.float32)
        V = device.elements_at_once(width, x, bias, dy, dx, parts)
        kernel = expression("bias_gelu_back", x.dtype.name, bias.dtype.name, V)
        numbers = np.int64(rows), np.int64(width), np.int32(form)
        device.launch("gelu", kernel, down_columns(device, width, V, len(parts)), dy, x, bias, dx, parts, *numbers)
        return BiasActivationGrads(dx, added(device, parts))

    return Kernel("bias_activation", forward, backward, serves)
