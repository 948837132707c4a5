"""Nodes of the QOperator format, which take integers and give integers, as what they stand for: integers that become
numbers, the op, and a result that becomes integers.

    QLinearMatMul(a, b) -> y        y = QuantizeLinear(MatMul(DequantizeLinear(a), DequantizeLinear(b)))

So a graph of them is walked in as one that has these three. The integers are the file's own; what lies between them is
hidden in the node, and is computed from its integers in float64 (`Hidden`). What only arranges integers arranges the
numbers that they stand for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .functions import FUNCTIONS, dequantised
from .nodes import attribute, input_at

Values = Any

PAIRS = {"QLinearMatMul": "MatMul", "QLinearAdd": "Add", "QLinearMul": "Mul"}
"""Op of two factors, each with its scale and zero -> what it stands for."""
SINGLE = {"QLinearSoftmax": "Softmax", "QLinearSigmoid": "Sigmoid"}
GEMM = "QGemm"
ARRANGING = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Slice", "Identity"})


class Hidden(NamedTuple):
    """A value that the file doesn't give: computed from values of these names."""

    inputs: tuple[str, ...]
    compute: Callable[..., Values]


class Expanded(NamedTuple):
    """The nodes to walk in, the values that only they have, and constants that they take."""

    nodes: list[Any]
    hidden: dict[str, Hidden]
    constants: dict[str, Values]


def expanded(nodes: Sequence[Any], constant: Callable[[str], Values | None], outputs: Sequence[str]) -> Expanded:
    """`constant` gives the value of a stored tensor, None for any other name; `outputs` are the graph's."""
    if not any(_is_operator(node) for node in nodes):
        return Expanded(list(nodes), {}, {})
    return _Expansion(nodes, constant, outputs).expanded()


def _is_operator(node: Any) -> bool:
    return node.op_type in PAIRS or node.op_type in SINGLE or node.op_type == GEMM


class _Expansion:
    def __init__(
        self, nodes: Sequence[Any], constant: Callable[[str], Values | None], outputs: Sequence[str]
    ) -> None:
        self._all, self._constant = list(nodes), constant
        self._maker = {name: node for node in nodes for name in node.output if name}
        self._real = {tuple(one.input): str(one.output[0]) for one in nodes if one.op_type == "DequantizeLinear"}
        self._nodes: list[Any] = []
        self._hidden: dict[str, Hidden] = {}
        self._constants: dict[str, Values] = {}
        self._numbers: dict[tuple[str, str, str], str] = {}
        self._dropped = self._only_arranging(set(outputs))

    def expanded(self) -> Expanded:
        for node in self._all:
            if _is_operator(node):
                self._expand(node)
            elif node.op_type == "DequantizeLinear":
                found = self._number(*(str(one) for one in (*node.input, "")[:3]), axis=attribute(node, "axis"))
                if found != node.output[0]:  # the same twice
                    self._add("Identity", [found], str(node.output[0]))
            elif node.output[0] not in self._dropped:
                self._nodes.append(node)
        return Expanded(self._nodes, self._hidden, self._constants)

    def _only_arranging(self, outputs: set[str]) -> set[str]:
        """Integers that are another's, arranged, and go to nobody but such nodes as are expanded."""
        users: dict[str, list[Any]] = {}
        for node in self._all:
            for name in node.input:
                users.setdefault(name, []).append(node)
        found: set[str] = set()
        for node in reversed(self._all):
            name = str(node.output[0])
            if node.op_type in ARRANGING and name not in outputs and self._quantiser(name) is not None:
                taken = [one for one in users.get(name, []) if one.output[0] not in found]
                if all(one.op_type == "DequantizeLinear" or _is_operator(one) for one in taken):
                    found.add(name)
        return found

    def _quantiser(self, name: str) -> tuple[str, str] | None:
        """Scale and zero by which integers were made, which may have been arranged since."""
        node = self._maker.get(name)
        while node is not None and node.op_type in ARRANGING:
            node = self._maker.get(node.input[0])
        if node is None:
            return None
        if node.op_type == "QuantizeLinear":
            return str(node.input[1]), input_at(node, 2)
        if _is_operator(node):
            scale = {GEMM: 7}.get(node.op_type, 6 if node.op_type in PAIRS else 3)
            return (input_at(node, scale), input_at(node, scale + 1)) if input_at(node, scale) else None
        return None

    def _number(self, name: str, scale: str, zero: str, axis: int | None = None) -> str:
        """The value that integers stand for."""
        key = (name, scale, zero)
        if key in self._numbers:
            return self._numbers[key]
        real = self._real.get(key) or (self._real.get(key[:2]) if not zero else None)
        out = self._numbers[key] = real or f"{name}:number{len(self._numbers)}"
        if real is None:
            self._hidden[out] = self._read(name, scale, zero, axis)
        quantiser, node = self._quantiser(name), self._maker.get(name)
        if node is None or quantiser is None or node.op_type not in ARRANGING:
            self._add("DequantizeLinear", [name, scale, *([zero] if zero else [])], out,
                      {} if axis is None else {"axis": axis})  # fmt: skip
        elif self._same(quantiser, (scale, zero)):
            self._arrange(node, quantiser, out)
        else:
            plain, again = f"{out}:plain", f"{out}:again"
            self._arrange(node, quantiser, plain)
            self._hidden[plain] = self._read(name, *quantiser)
            self._add("QuantizeLinear", [plain, *filter(None, quantiser)], again)
            self._hidden[again] = Hidden((name,), lambda integers: integers)
            self._add("DequantizeLinear", [again, scale, *([zero] if zero else [])], out)
        return out

    def _read(self, name: str, scale: str, zero: str, axis: int | None = None) -> Hidden:
        return Hidden(
            (name, scale, *([zero] if zero else [])),
            lambda *values: dequantised(*values, axis=1 if axis is None else axis),
        )

    def _arrange(self, node: Any, quantiser: tuple[str, str], out: str) -> None:
        inner = self._number(str(node.input[0]), *quantiser)
        twin = _copy(node)
        twin.input[0], twin.output[0] = inner, out
        self._nodes.append(twin)

    def _same(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        return all(a == b or _equal(self._constant(a), self._constant(b)) for a, b in zip(one, other, strict=True))

    def _expand(self, node: Any) -> None:
        given, y = [str(one) for one in node.input], str(node.output[0])
        attributes = {one.name: one for one in node.attribute if one.name != "opset"}
        if node.op_type in SINGLE:
            inputs, scale, op = [self._number(*given[:3])], given[3:5], SINGLE[node.op_type]
        elif node.op_type in PAIRS:
            inputs, scale, op = [self._number(*given[:3]), self._number(*given[3:6])], given[6:8], PAIRS[node.op_type]
        else:
            bias = self._bias(given, y)
            if bias is None:
                self._nodes.append(node)
                return
            lies = 0 if attribute(node, "transB", 0) else 1
            weight = self._number(given[3], given[4], given[5], axis=lies)
            inputs, scale, op = [self._number(*given[:3]), weight, *bias], given[7:9], "Gemm"
        made = f"{y}:made" if any(scale) else y
        twin = self._add(op, inputs, made)
        twin.attribute.extend(attributes.values())
        if made != y:
            self._hidden[made] = Hidden(tuple(inputs), lambda *values: FUNCTIONS[op](twin, *values))
            self._add("QuantizeLinear", [made, *filter(None, scale)], y)

    def _bias(self, given: list[str], y: str) -> list[str] | None:
        """The bias of a QGemm, whose scale is the product of the other two; [] without one, None where it isn't known.
        """
        if len(given) < 7 or not given[6]:
            return []
        scales = [self._constant(given[at]) for at in (1, 4)]
        if any(one is None for one in scales):
            return None
        name = f"{y}:bias_scale"
        self._constants[name] = np.asarray(scales[0], np.float64) * np.asarray(scales[1], np.float64)
        return [self._number(given[6], name, "", axis=0)]

    def _add(self, op: str, inputs: list[str], output: str, attributes: Mapping[str, Any] | None = None) -> Any:
        import onnx

        node = onnx.helper.make_node(op, inputs, [output], **(attributes or {}))
        self._nodes.append(node)
        return node


def _copy(node: Any) -> Any:
    import onnx

    twin = onnx.NodeProto()
    twin.CopyFrom(node)
    return twin


def _equal(one: Values | None, other: Values | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)
