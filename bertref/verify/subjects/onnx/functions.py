"""What ops compute, in float64: those between which quantised graphs round."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ....backends import get
from .nodes import attribute

Values = Any


def dequantised(values: Values, scale: Values, zero: Values | None = None, axis: int = 1) -> Values:
    """(values - zero) * scale in float64, with a scale for all or for each index of the axis."""
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = -1
    shifted = values.astype(np.float64)
    if zero is not None:
        shifted = shifted - (zero.astype(np.float64).reshape(shape) if zero.size > 1 else zero.astype(np.float64))
    with np.errstate(invalid="ignore"):  # a scale may be infinite
        return shifted * (scale.astype(np.float64).reshape(shape) if scale.size > 1 else scale.astype(np.float64))


def _gemm(node: Any, a: Values, b: Values, c: Values | None = None) -> Values:
    a, b = (one.T if attribute(node, turned, 0) else one for one, turned in ((a, "transA"), (b, "transB")))
    made = attribute(node, "alpha", 1.0) * (a @ b)
    return made if c is None else made + attribute(node, "beta", 1.0) * c


def _softmax(node: Any, x: Values) -> Values:
    axis = attribute(node, "axis", -1)
    largest = x.max(axis=axis, keepdims=True)
    grown = np.exp(x - np.where(np.isfinite(largest), largest, 0))
    return grown / grown.sum(axis=axis, keepdims=True)


FUNCTIONS: dict[str, Callable[..., Values]] = {
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": lambda node, a, b: a / b,
    "MatMul": lambda node, a, b: a @ b,
    "Gemm": _gemm,
    "Softmax": _softmax,
    "Erf": lambda node, x: get("numpy").xp.erf(x),
    "Tanh": lambda node, x: np.tanh(x),
    "Sigmoid": lambda node, x: 1 / (1 + np.exp(-x)),
    "Relu": lambda node, x: np.maximum(x, 0),
    "IsNaN": lambda node, x: np.isnan(x),
    "Where": lambda node, condition, a, b: np.where(condition, a, b),
}
"""Op -> what it makes of its inputs; the node has its attributes."""
