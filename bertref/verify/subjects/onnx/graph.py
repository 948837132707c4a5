"""An ONNX graph to walk in: who makes a value, who reads it, what is constant in it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .functions import dequantised
from .nodes import attribute
from .operators import expanded

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
    """`model` is an `onnx.ModelProto` with its data. Nodes of the QOperator format are walked in as what they stand for
    (`operators`)."""

    def __init__(self, model: Any) -> None:
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = [value.name for value in model.graph.output]
        self.nodes, self._hidden, constants = expanded(list(model.graph.node), self._stored, self.outputs)
        self._constants: dict[str, Values | None] = {**constants}
        self.inputs = [value for value in model.graph.input if value.name not in self.initializers]
        self.maker = {name: node for node in self.nodes for name in node.output if name}
        self._order = {name: at for at, node in enumerate(self.nodes) for name in node.output if name}
        self._chained: dict[tuple[str, ...], bool] = {}
        self._users: dict[str, list[NodeInput]] = {}
        for node in self.nodes:
            for at, name in enumerate(node.input):
                self._users.setdefault(name, []).append(NodeInput(node, at))

    def users(self, name: str) -> list[NodeInput]:
        """Who computes with a value; who only asks for its shape doesn't count."""
        return [use for use in self._users.get(name, []) if use.node.op_type != "Shape"]

    def made_by(self, name: str) -> str:
        """The op that makes a value; "" for inputs and stored tensors."""
        return getattr(self.maker.get(name), "op_type", "")

    def in_turn(self, uses: Iterable[NodeInput]) -> list[NodeInput]:
        """The uses in the order in which the graph computes them; none unless each is made from the one before."""
        ordered = sorted(uses, key=lambda use: self._order[use.node.output[0]])
        nodes = [use.node for use in ordered]
        which = tuple(str(node.output[0]) for node in nodes)
        if which not in self._chained:
            self._chained[which] = all(self._depends(later, former) for former, later in pairwise(nodes))
        return ordered if self._chained[which] else []

    def _depends(self, later: Any, former: Any) -> bool:
        """Whether a node computes with what another one makes."""
        start, open_, seen = self._order[former.output[0]], [later], set[str]()
        while open_:
            node = open_.pop()
            if node is former:
                return True
            new = {str(name) for name in node.input if self._order.get(name, -1) >= start} - seen
            seen |= new
            open_ += [self.maker[name] for name in new]
        return False

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

    # -- what nodes hide ---------------------------------------------------------------------------------------------

    def real(self, names: Iterable[str]) -> set[str]:
        """The values of the file's that these are made from."""
        found, open_ = set[str](), list(names)
        while open_:
            name = open_.pop()
            if name in self._hidden:
                open_ += [one for one in self._hidden[name].inputs if self.constant(one) is None]
            else:
                found.add(name)
        return found

    def with_hidden(self, found: Mapping[str, Values], names: Iterable[str]) -> dict[str, Values]:
        """The file's values, and those of these that it hides."""
        every = dict(found)

        def value(name: str) -> Values:
            known = every.get(name)
            if known is None:
                known = self.constant(name)
            if known is None:
                known = every[name] = np.asarray(self._hidden[name].compute(*map(value, self._hidden[name].inputs)))
            return known

        for name in names:
            value(name)
        return every

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

    def _stored(self, name: str) -> Values | None:
        """The value of a stored tensor."""
        import onnx

        return _single(onnx.numpy_helper.to_array(self.initializers[name])) if name in self.initializers else None

    def _evaluated(self, name: str) -> Values | None:
        import onnx

        if name in self.initializers:
            return self._stored(name)
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
