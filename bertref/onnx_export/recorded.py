"""The array that computes nothing: every operator applied to it becomes a node of the graph."""

from typing import Any

import numpy as np

from .graph import Dim, OnnxGraph, OnnxValue, Shape


class Recorded:
    """A value of the graph that behaves as an array of the Python standard does, as far as the ops look.

    Lengths that depend on the input are `Length` in its shape. It has no values, so nothing can branch on them.
    """

    __array_priority__ = 1  # a NumPy scalar on the left leaves the operator to us
    __slots__ = ("dtype", "graph", "name", "shape")

    def __init__(self, graph: OnnxGraph, value: OnnxValue) -> None:
        self.graph = graph
        self.name, self.shape, self.dtype = value

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __bool__(self) -> bool:
        raise TypeError(f"{self.name} is recorded, not computed: its values can't decide anything")

    def __add__(self, other: Any) -> "Recorded":
        return binary("Add", self, other)

    def __radd__(self, other: Any) -> "Recorded":
        return binary("Add", other, self)

    def __sub__(self, other: Any) -> "Recorded":
        return binary("Sub", self, other)

    def __rsub__(self, other: Any) -> "Recorded":
        return binary("Sub", other, self)

    def __mul__(self, other: Any) -> "Recorded":
        return binary("Mul", self, other)

    def __rmul__(self, other: Any) -> "Recorded":
        return binary("Mul", other, self)

    def __truediv__(self, other: Any) -> "Recorded":
        return binary("Div", self, other)

    def __rtruediv__(self, other: Any) -> "Recorded":
        return binary("Div", other, self)

    def __neg__(self) -> "Recorded":
        return node("Neg", self)

    def __lt__(self, other: Any) -> "Recorded":
        return binary("Less", self, other, dtype=np.dtype(bool))

    def __gt__(self, other: Any) -> "Recorded":
        return binary("Greater", self, other, dtype=np.dtype(bool))

    def __eq__(self, other: Any) -> "Recorded":  # type: ignore[override]
        return binary("Equal", self, other, dtype=np.dtype(bool))

    __hash__ = None  # type: ignore[assignment]


def node(
    op: str, *inputs: Recorded, shape: Shape | None = None, dtype: Any = None, more: tuple[str, ...] = (), **attrs: Any
) -> Recorded:
    """Records an operator; shape and dtype are the first input's unless given, `more` are names of further inputs."""
    first = inputs[0]
    name = first.graph.add(op, *(x.name for x in inputs), *more, **attrs)
    return Recorded(first.graph, OnnxValue(name, first.shape if shape is None else shape, dtype or first.dtype))


def cast(x: Recorded, dtype: np.dtype[Any]) -> Recorded:
    """x in another type; x itself where it has that type already."""
    return x if x.dtype == dtype else node("Cast", x, dtype=dtype, to=dtype.name)


def constant(graph: OnnxGraph, array: Any) -> Recorded:
    """A NumPy array as a value of the graph."""
    array = np.asarray(array)
    return Recorded(graph, OnnxValue(graph.constant(array), array.shape, array.dtype))


def together(*operands: Any) -> tuple[Recorded, ...]:
    """Arrays and Python numbers in one type: a number takes the arrays' type, arrays meet in the wider one."""
    arrays = [x for x in operands if isinstance(x, Recorded)]
    dtype = np.result_type(*(x.dtype for x in arrays))
    graph = arrays[0].graph
    return tuple(cast(x, dtype) if isinstance(x, Recorded) else constant(graph, np.asarray(x, dtype)) for x in operands)


def binary(op: str, a: Any, b: Any, dtype: np.dtype[Any] | None = None) -> Recorded:
    """An operator of two operands, broadcast against each other."""
    x, y = together(a, b)
    return node(op, x, y, shape=broadcast(x.shape, y.shape), dtype=dtype)


def broadcast(*shapes: Shape) -> Shape:
    """The common shape; lengths that are not known are equal or do not fit."""
    rank = max(len(shape) for shape in shapes)
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)
    return tuple(_common(column) for column in columns)


def _common(dims: tuple[Dim, ...]) -> Dim:
    longer = {dim for dim in dims if dim != 1}
    if len(longer) > 1:
        raise ValueError(f"lengths {', '.join(map(str, dims))} can't be broadcast together")
    return longer.pop() if longer else 1
