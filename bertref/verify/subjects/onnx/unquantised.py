"""Tensors of quantised graphs without what quantisation does to them, as the graph's own scales say.

    QuantizeLinear         a value's nearest integer on a fixed scale, cut off where the integers end
    DynamicQuantizeLinear  the same on a scale of the value's own range
    DynamicQuantizeMatMul  the same inside of a product, where it is computed anew
    stored weights         `quantised.Stored`

A product's result is its recorded one, less the product of what its factors were rounded to, plus the product of the
factors as they were. That is what the step has to give from its recorded inputs, but for float32's rounding. More than
half a step of a scale is not rounding: what goes beyond it stays in the tensor, and is found there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ....row import TensorRow
from ...records import Case
from .graph import SAME, NodeInput, ReadGraph, Values, attribute, dequantised
from .places import TensorPlaces
from .quantised import HALF_A_STEP, dynamically, scale_and_zero, scaled_output, stored
from .unquantised_attention import NODES, UnquantisedAttention
from .weights import StoredWeights

ARRANGED = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten"})
ELEMENTWISE = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}


class Unquantised:
    """The tensor `value` of a graph, without what quantisation does to it in the step that makes it.

    `product` is the node that multiplies in this step, if there is one;
    `weight` is what the product's second factor has to be, as it stands in the graph; None where that is a value, too.
    `stop` are the tensors that the step is made from: nothing before them is looked at.
    """

    def __init__(
        self, graph: ReadGraph, product: Any, value: str, weight: Values | None, stop: frozenset[str]
    ) -> None:  # fmt: skip
        self._graph, self._product, self._value, self._weight, self._stop = graph, product, value, weight, stop
        self._made = scaled_output(graph, product) if product is not None else ""
        self._found: Mapping[str, Values] = {}

    def names(self) -> set[str]:
        """The values that have to be recorded."""
        return set(self._needed(self._value, first=True))

    @property
    def node(self) -> Any:
        """The node whose integers are replayed, None without one."""
        return self._product

    def touched(self) -> bool:
        """Whether there is any quantisation in it."""
        kinds = {self._graph.made_by(name) for name in self.names() - self._stop | {self._value}}
        if self._product is not None:
            kinds |= {self._product.op_type, *(self._graph.made_by(name) for name in self._product.input[1:2])}
        return bool(kinds & {"DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "DynamicQuantizeMatMul"})

    def __call__(self, found: Mapping[str, Values], case: Case) -> Values:
        """The tensor, from the recorded values."""
        self._found = found
        return self._clean(self._value, first=True)

    def _needed(self, name: str, *, first: bool = False) -> Iterator[str]:
        if self._graph.constant(name) is not None:
            return
        yield name
        node = self._graph.maker.get(name)
        if node is None or (name in self._stop and not first):
            return
        if name == self._made:
            for factor in self._product.input[:2]:
                yield from self._needed(str(factor))
        elif node.op_type == "DynamicQuantizeLinear":
            yield from node.output
            yield from self._needed(str(node.input[0]))
        elif node.op_type == "DequantizeLinear":
            before = str(self._graph.maker[node.input[0]].input[0]) if node.input[0] in self._graph.maker else ""
            yield from self._needed(before) if before else ()
        elif self._passes(node):
            for one in node.input[: 2 if node.op_type in ELEMENTWISE else 1]:
                yield from self._needed(str(one))

    def _passes(self, node: Any) -> bool:
        """Whether a node only hands on, arranges, adds, or takes a constant."""
        if node.op_type in ELEMENTWISE:
            return node.op_type == "Add" or any(self._graph.constant(one) is not None for one in node.input)
        gathers = node.op_type == "Gather" and self._graph.constant(node.input[1]) is not None
        return gathers or node.op_type in SAME | ARRANGED | {"Transpose"}

    def _clean(self, name: str, *, first: bool = False) -> Values:
        known = self._graph.constant(name)
        if known is not None:
            return known
        node = self._graph.maker.get(name)
        if node is None or (name in self._stop and not first):
            return self._found[name]
        if name == self._made:
            return self._multiplied()
        if node.op_type == "DynamicQuantizeLinear":
            given, scale, zero = (self._found[one] for one in node.output)
            return self._less(str(node.input[0]), dequantised(given, scale, zero), scale, zero, (0, 255))
        if node.op_type == "DequantizeLinear" and self._graph.made_by(node.input[0]) == "QuantizeLinear":
            return self._statically(self._graph.maker[node.input[0]], name)
        return self._handed_on(node, name) if self._passes(node) else self._found[name]

    def _statically(self, quantiser: Any, name: str) -> Values:
        """Of a pair of QuantizeLinear and DequantizeLinear; with a scale that isn't stored it is left as it is."""
        scale, zero = scale_and_zero(self._graph, quantiser)
        if scale is None:
            return self._found[name]
        kept = np.zeros((), np.uint8) if zero is None else zero
        ends = np.iinfo(kept.dtype)
        return self._less(str(quantiser.input[0]), self._found[name], scale, kept, (ends.min, ends.max))

    def _less(self, before: str, after: Values, scale: Values, zero: Values, ends: tuple[int, int]) -> Values:
        """What was before, and with it what rounding to the scale doesn't explain of `after`."""
        given = self._found[before]
        low, high = ((end - zero.astype(np.float64)) * scale for end in ends)
        kept = np.clip(given, low, high)
        rounding = (kept - given) + np.clip(after - kept, -HALF_A_STEP * scale, HALF_A_STEP * scale)
        return np.asarray(self._clean(before) + (after - given) - rounding)

    def _handed_on(self, node: Any, name: str) -> Values:
        if node.op_type in ELEMENTWISE:
            first, second = (np.asarray(self._clean(str(one)), np.float64) for one in node.input)
            return np.asarray(ELEMENTWISE[node.op_type](first, second))
        value = self._clean(str(node.input[0]))
        at = self._graph.constant(node.input[1]) if node.op_type == "Gather" else None
        if at is not None:
            return np.asarray(np.take(value, at.astype(np.int64), attribute(node, "axis", 0)))
        if node.op_type == "Transpose":
            return np.transpose(value, attribute(node, "perm"))
        return value.reshape(self._found[name].shape) if node.op_type in ARRANGED else value

    def _multiplied(self) -> Values:
        """The recorded product, less that of the rounded factors, plus that of the factors as they were."""
        first, second = (str(one) for one in self._product.input[:2])
        weight = self._stored_weight()
        rounded = self._times(self._rounded(first), self._rounded(second) if weight is None else weight)
        right = self._times(self._clean(first), self._clean(second) if self._weight is None else self._weight)
        return self._found[self._made].astype(np.float64) - rounded + right

    def _stored_weight(self) -> Values | None:
        if self._weight is None:
            return None
        held = stored(self._graph, NodeInput(self._product, 1))
        return held.values if held is not None else self._graph.constant(self._product.input[1])

    def _rounded(self, name: str) -> Values:
        """A factor as the product takes it."""
        node = self._graph.maker.get(name)
        if node is not None and node.op_type == "DynamicQuantizeLinear":
            given, scale, zero = (self._found[one] for one in node.output)
            return dequantised(given, scale, zero)
        if self._product.op_type == "DynamicQuantizeMatMul":
            return dequantised(*dynamically(self._found[name]))
        return self._found[name].astype(np.float64)

    def _times(self, a: Values, b: Values) -> Values:
        turned = attribute(self._product, "transB", 0)
        factor = attribute(self._product, "alpha", 1.0)
        return np.asarray(factor * (a.astype(np.float64) @ (np.swapaxes(b, -1, -2) if turned else b)))


def unquantised(
    graph: ReadGraph, weights: StoredWeights, places: TensorPlaces, rows: Sequence[TensorRow],
    params: Mapping[str, Values], model: Mapping[str, Values],
) -> dict[str, Unquantised | UnquantisedAttention]:  # fmt: skip
    """What takes quantisation out of the tensors that have any of it. `params` are the case's weights, `model` those of
    the model that was exported, as far as they are known."""
    found: dict[str, Unquantised | UnquantisedAttention] = {}
    stop = frozenset(places.values.values())
    named = {row.name: row for row in rows}
    for row in rows:
        if row.name not in places.values or places.left_out(row):
            continue
        made = graph.maker.get(places.values[row.name])
        if row.op == "context" and made is not None and made.op_type in NODES:
            dense = [named[f"{row.part}.{one}"] for one in ("query", "key", "value")]
            x = places.values.get(dense[0].inputs[0])
            attention = UnquantisedAttention(graph, made, row, dense, x, params, model)
            if attention.touched():
                found[row.name] = attention
            continue
        product, weight = places.product(row), None
        if product is not None and row.parameters:
            weight = _right_weight(weights, row.parameters[0].name, NodeInput(product, 1), params, model)
            weight = weight if attribute(product, "transB", 0) else weight.T
        clean = Unquantised(graph, product, places.values[row.name], weight, stop)
        if clean.touched():
            found[row.name] = clean
    return found


def _right_weight(
    weights: StoredWeights, name: str, use: NodeInput, params: Mapping[str, Values], model: Mapping[str, Values]
) -> Values:
    """The weight with which a product has to be judged: the case's, unless what the product takes isn't the nearest
    that integers come to the model's. Without the model, a table that is looked up from other integers is taken as it
    is."""
    own, right = weights.upright(use), params.get(name)
    assert own is not None, "a product is found by its weight"
    known = model.get(name, right if not weights.looked_up_in_integers(name) else None)
    kept = right is not None and (known is None or weights.explained(name, known))
    return right if kept and right is not None else own
