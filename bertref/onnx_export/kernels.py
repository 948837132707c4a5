"""The one op that ONNX has as a whole, with the weight in our orientation: y = x Wᵀ + b is a `Gemm`.

Recorded part by part it would carry a transposition of every weight, which a runtime performs when it opens the file,
and keeps. Everything else is recorded part by part: the two passes of our layer norm, for example, are more exact than
what runtimes do for ONNX's `LayerNormalization`.
"""

from typing import Any

from ..arrays import Array
from ..opset import Kernel
from .recorded import node


def forward(xp: Any, x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, None]:
    """x (T, I), weight (O, I), bias (O) or None -> y (T, O)."""
    terms = (x, weight) if bias is None else (x, weight, bias)
    return node("Gemm", *terms, shape=(x.shape[0], weight.shape[0]), transB=1), None


def backward(xp: Any, dy: Array, cache: None) -> None:
    """There is none: an exported model only answers."""
    raise NotImplementedError("a recorded model has no backward pass")


def serves(x: Array, weight: Array, bias: Array | None = None) -> bool:
    return bool(x.ndim == 2 and x.dtype == weight.dtype)


KERNELS = {"dense": Kernel("Gemm", forward, backward, serves)}
