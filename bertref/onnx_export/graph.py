"""An ONNX graph while it is being recorded: plain records, in the order of the computation.

Values are immutable and nodes have no effects, so a node that was recorded before is not recorded again: constants,
shapes and whatever else the layers have in common is in the file once. What no output needs is left out of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

OPSET = 20
"""The version of the operators: the first with everything that is recorded here is 18; 20 is read by every
onnxruntime since 1.17."""


@dataclass(frozen=True)
class Length:
    """A length that is known only when the file runs: the product of named axes of the inputs."""

    axes: tuple[str, ...]

    def __mul__(self, other: "Length") -> "Length":
        return Length(tuple(sorted(self.axes + other.axes)))

    def __str__(self) -> str:
        return "*".join(self.axes)


Dim: TypeAlias = int | Length
Shape: TypeAlias = tuple[Dim, ...]


class OnnxValue(NamedTuple):
    """What is known of a value: its name in the file, its shape, its type."""

    name: str
    shape: Shape
    dtype: np.dtype[Any]


class Node(NamedTuple):
    """One operator with one output. `attributes` are sorted pairs."""

    op: str
    inputs: tuple[str, ...]
    attributes: tuple[tuple[str, Any], ...]
    output: str


class OnnxGraph:
    """Inputs, parameters (whose values come later), constants and nodes."""

    def __init__(self) -> None:
        self.inputs: list[OnnxValue] = []
        self.parameters: list[OnnxValue] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.nodes: list[Node] = []
        self._made: dict[Any, str] = {}

    def input(self, name: str, shape: Shape, dtype: str) -> OnnxValue:
        """An argument of the model."""
        value = OnnxValue(name, shape, np.dtype(dtype))
        self.inputs.append(value)
        return value

    def parameter(self, name: str, shape: Shape, dtype: str) -> OnnxValue:
        """A weight, under its own name."""
        value = OnnxValue(name, shape, np.dtype(dtype))
        self.parameters.append(value)
        return value

    def constant(self, array: npt.NDArray[Any]) -> str:
        """The name of a small array that is part of the graph."""
        key = ("constant", array.dtype.name, array.shape, array.tobytes())
        if key not in self._made:
            self._made[key] = f"constant_{len(self.constants)}"
            self.constants[self._made[key]] = array
        return self._made[key]

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The name of the operator's output."""
        key = (op, inputs, tuple(sorted(attributes.items())))
        if key not in self._made:
            self._made[key] = f"{op}_{len(self.nodes)}"
            self.nodes.append(Node(*key, self._made[key]))
        return self._made[key]

    def length(self, dim: Dim) -> str:
        """The name of a vector of one number: the length."""
        if isinstance(dim, int):
            return self.constant(np.array([dim], np.int64))
        first, *others = [self._axis(axis) for axis in dim.axes]
        for other in others:
            first = self.add("Mul", first, other)
        return first

    def shape(self, dims: Iterable[Dim]) -> str:
        """The name of the vector of these lengths."""
        dims = tuple(dims)
        if all(isinstance(dim, int) for dim in dims):
            return self.constant(np.array(dims, np.int64))
        return self.add("Concat", *(self.length(dim) for dim in dims), axis=0)

    def _axis(self, axis: str) -> str:
        for value in self.inputs:
            for place, dim in enumerate(value.shape):
                if dim == Length((axis,)):
                    return self.add("Shape", value.name, start=place, end=place + 1)
        raise LookupError(f"no input has an axis {axis!r}")

    def needed(self, outputs: Iterable[str]) -> tuple[list[Node], set[str]]:
        """The nodes on which the outputs depend, in order, and the names of all values that they and the nodes read."""
        names = set(outputs)
        nodes = []
        for node in reversed(self.nodes):
            if node.output in names:
                names.update(node.inputs)
                nodes.append(node)
        return nodes[::-1], names
