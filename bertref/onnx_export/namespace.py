"""`xp` that records: the functions of the array API standard that the forward ops call, each as ONNX operators.

Everything here is a translation of one function into one operator, or a few; what BERT computes is said by
`bertref.ops` alone. Functions that no forward pass needs are left out, and asking for one raises `AttributeError`.
"""

from math import prod
from typing import Any

import numpy as np

from ..arrays import Array
from ..backends.erf import erf_standard
from .graph import Dim, Length, OnnxGraph, OnnxValue, Shape
from .recorded import Recorded, binary, broadcast, cast, constant, node, together


class RecordingNamespace:
    """The functions, bound to the graph that they write into."""

    float32 = np.dtype("float32")
    finfo = staticmethod(np.finfo)

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph

    # --- making arrays

    def from_numpy(self, array: Any) -> Array:
        return constant(self._graph, array)

    def arange(self, stop: Dim) -> Array:
        """0, 1, ..., stop - 1 as int64."""
        graph = self._graph
        scalar = graph.add("Squeeze", graph.length(stop))
        zero, one = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
        return Recorded(graph, OnnxValue(graph.add("Range", zero, scalar, one), (stop,), np.dtype(np.int64)))

    def full_like(self, x: Array, value: float, *, dtype: Any = None) -> Array:
        """One number, which broadcasts wherever an array of x's shape would stand."""
        return constant(self._graph, np.asarray(value, dtype or x.dtype))

    def zeros_like(self, x: Array, *, dtype: Any = None) -> Array:
        return self.full_like(x, 0, dtype=dtype)

    def ones_like(self, x: Array, *, dtype: Any = None) -> Array:
        return self.full_like(x, 1, dtype=dtype)

    # --- one number after the other

    def astype(self, x: Array, dtype: Any, *, copy: bool = True) -> Array:
        return cast(x, np.dtype(dtype))

    def abs(self, x: Array) -> Array:
        return node("Abs", x)

    def exp(self, x: Array) -> Array:
        return node("Exp", x)

    def sqrt(self, x: Array) -> Array:
        return node("Sqrt", x)

    def tanh(self, x: Array) -> Array:
        return node("Tanh", x)

    def erf(self, x: Array) -> Array:
        """The operator in float32 (halves go through it); in float64, where runtimes lack it, our own formula."""
        if x.dtype == np.dtype("float64"):
            return erf_standard(self, x, "float64")
        return cast(node("Erf", cast(x, self.float32)), x.dtype)

    def maximum(self, a: Any, b: Any) -> Array:
        return binary("Max", a, b)

    def minimum(self, a: Any, b: Any) -> Array:
        return binary("Min", a, b)

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        x, y = together(a, b)
        return node("Where", condition, x, y, shape=broadcast(condition.shape, x.shape, y.shape), dtype=x.dtype)

    # --- along an axis

    def max(self, x: Array, *, axis: int, keepdims: bool = False) -> Array:
        return self._reduce("ReduceMax", x, axis, keepdims)

    def sum(self, x: Array, *, axis: int, keepdims: bool = False) -> Array:
        return self._reduce("ReduceSum", x, axis, keepdims)

    def mean(self, x: Array, *, axis: int, keepdims: bool = False) -> Array:
        return self._reduce("ReduceMean", x, axis, keepdims)

    def _reduce(self, op: str, x: Array, axis: int, keepdims: bool) -> Array:
        place = axis % x.ndim
        shape = x.shape[:place] + ((1,) if keepdims else ()) + x.shape[place + 1 :]
        axes = self._graph.constant(np.array([axis], np.int64))
        return node(op, x, shape=shape, more=(axes,), keepdims=int(keepdims))

    def cumulative_sum(self, x: Array, *, axis: int) -> Array:
        return node("CumSum", x, more=(self._graph.constant(np.array(axis, np.int64)),))

    def take(self, x: Array, indices: Array, *, axis: int = 0) -> Array:
        """Rows by their indices; all rows in their order are x itself."""
        place = axis % x.ndim
        if isinstance(x.shape[place], Length) and indices.name == self.arange(x.shape[place]).name:
            return x
        return node("Gather", x, indices, shape=x.shape[:place] + indices.shape + x.shape[place + 1 :], axis=place)

    # --- products and shapes

    def matmul(self, a: Array, b: Array) -> Array:
        x, y = together(a, b)
        if x.shape[-1] != y.shape[-2]:
            raise ValueError(f"shapes {x.shape} and {y.shape} can't be multiplied")
        shape = (*broadcast(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
        return node("MatMul", x, y, shape=shape)

    def matrix_transpose(self, x: Array) -> Array:
        order = tuple(range(x.ndim))
        return self.permute_dims(x, (*order[:-2], order[-1], order[-2]))

    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        return node("Transpose", x, shape=tuple(x.shape[axis] for axis in axes), perm=tuple(axes))

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        return node("Expand", x, shape=broadcast(x.shape, shape), more=(self._graph.shape(shape),))

    def reshape(self, x: Array, shape: Shape) -> Array:
        """A length that stays in its place is copied (0), a single other one inferred (-1), more are computed."""
        if _factors(x.shape) != _factors(shape):
            raise ValueError(f"shape {x.shape} can't become {shape}")
        if shape == x.shape:
            return x
        stays = [isinstance(dim, Length) and x.shape[i : i + 1] == (dim,) for i, dim in enumerate(shape)]
        target: Shape = tuple(0 if stay else dim for stay, dim in zip(stays, shape, strict=True))
        if sum(isinstance(dim, Length) for dim in target) == 1:
            target = tuple(-1 if isinstance(dim, Length) else dim for dim in target)
        return node("Reshape", x, shape=tuple(shape), more=(self._graph.shape(target),))


def _factors(shape: Shape) -> tuple[int, list[str]]:
    """The number of elements: its known factor and the axes that multiply it."""
    known = prod(dim for dim in shape if isinstance(dim, int))
    return known, sorted(axis for dim in shape if isinstance(dim, Length) for axis in dim.axes)
