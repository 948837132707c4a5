"""An ONNX graph to walk in: who makes a value, who reads it, what is constant in it."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

SAME = frozenset({"Identity", "Cast", "Dropout"})
"""What hands a value on, but for rounding."""
QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
SHAPES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand"})
"""What only arranges a value's elements."""


class NodeInput(NamedTuple):
    """A node, and which of its inputs is meant."""

    node: Any
    at: int


class ReadGraph:
    """`model` is an `onnx.ModelProto` with its data."""

    def __init__(self, model: Any) -> None:
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes = list(model.graph.node)
        self.outputs = [value.name for value in model.graph.output]
        self.inputs = [value for value in model.graph.input if value.name not in self.initializers]
        self.maker = {name: node for node in self.nodes for name in node.output if name}
        self._users: dict[str, list[NodeInput]] = {}
        for node in self.nodes:
            for at, name in enumerate(node.input):
                self._users.setdefault(name, []).append(NodeInput(node, at))
        self._constants: dict[str, Values | None] = {}

    def users(self, name: str) -> list[NodeInput]:
        """Who computes with a value; who only asks for its shape doesn't count."""
        return [use for use in self._users.get(name, []) if use.node.op_type != "Shape"]

    def made_by(self, name: str) -> str:
        """The op that makes a value; "" for inputs and stored tensors."""
        return getattr(self.maker.get(name), "op_type", "")

    def back(self, name: str, through: Collection[str]) -> str:
        """The value that this one comes from through ops of these kinds, by their first inputs."""
        while self.made_by(name) in through and self.maker[name].input:
            name = str(self.maker[name].input[0])
        return name

    def on(self, name: str, through: Collection[str]) -> str:
        """The value that this one becomes through ops of these kinds, as long as nobody else reads it."""
        while True:
            users = self.users(name)
            if len(users) != 1 or name in self.outputs or users[0].node.op_type not in through or users[0].at:
                return name
            name = str(users[0].node.output[0])

    # -- constants ---------------------------------------------------------------------------------------------------

    def constant(self, name: str) -> Values | None:
        """The value of what doesn't depend on the inputs: stored, or made of what is stored by ops that convert."""
        if name not in self._constants:
            self._constants[name] = None  # a circle is no constant
            self._constants[name] = self._evaluated(name)
        return self._constants[name]

    def stored_as(self, name: str) -> str:
        """The name of the stored tensor that a constant is made of."""
        return self.back(name, CONVERT.keys())

    def uses(self, stored: str) -> Iterator[NodeInput]:
        """Who computes with a stored tensor, as it is or converted."""
        for use in self.users(stored):
            if use.node.op_type in CONVERT and use.at == 0 and self.constant(use.node.output[0]) is not None:
                yield from self.uses(str(use.node.output[0]))
            else:
                yield use

    def _evaluated(self, name: str) -> Values | None:
        import onnx

        if name in self.initializers:
            return _single(onnx.numpy_helper.to_array(self.initializers[name]))
        node = self.maker.get(name)
        if node is None:
            return None
        if node.op_type == "Constant":
            tensor = attribute(node, "value")
            return None if tensor is None else _single(onnx.numpy_helper.to_array(tensor))
        if node.op_type not in CONVERT:
            return None
        given = [self.constant(one) if one else None for one in node.input]
        if any(value is None for value, one in zip(given, node.input, strict=True) if one):
            return None
        return CONVERT[node.op_type](node, *given)


def input_at(node: Any, at: int) -> str:
    """The name of a node's input; "" for one that it isn't given."""
    return str(node.input[at]) if at < len(node.input) else ""


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """An attribute's value."""
    import onnx

    for one in node.attribute:
        if one.name == name:
            return onnx.helper.get_attribute_value(one)
    return default


def dequantised(values: Values, scale: Values, zero: Values | None = None, axis: int = 1) -> Values:
    """(values - zero) * scale in float64, with a scale for all or for each index of the axis."""
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = -1
    shifted = values.astype(np.float64)
    if zero is not None:
        shifted = shifted - (zero.astype(np.float64).reshape(shape) if zero.size > 1 else zero.astype(np.float64))
    return shifted * (scale.astype(np.float64).reshape(shape) if scale.size > 1 else scale.astype(np.float64))


def _cast(node: Any, values: Values) -> Values:
    import onnx

    kind = onnx.helper.tensor_dtype_to_np_dtype(attribute(node, "to"))
    return _single(values.astype(kind))


def _dequantised(node: Any, values: Values, scale: Values, zero: Values | None = None) -> Values:
    return dequantised(values, scale, zero, attribute(node, "axis", 1)).astype(np.float32)


CONVERT: dict[str, Callable[..., Values]] = {
    "Identity": lambda node, values: values,
    "Cast": _cast,
    "Transpose": lambda node, values: np.transpose(values, attribute(node, "perm")),
    "DequantizeLinear": _dequantised,
}
"""Op -> what it makes of a constant."""


def _single(values: Any) -> Values:
    """NumPy's own types: bfloat16 becomes float32."""
    return np.asarray(values.astype(np.float32) if values.dtype.name == "bfloat16" else values)
