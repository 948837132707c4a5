"""Tensors of quantised graphs without what quantisation does to them, as the graph's own scales say.

    QuantizeLinear         a value's nearest integer on a fixed scale, cut off where the integers end
    DynamicQuantizeLinear  the same on a scale of the value's own range
    DynamicQuantizeMatMul  the same inside of a product, where it is computed anew
    stored weights         `integers.Integers`

A product's result is its recorded one, less the product of what its factors were rounded to, plus the product of the
factors as they were. That is what the step has to give from its recorded inputs, but for float32's rounding. More than
half a step of a scale is not rounding: what goes beyond it stays in the tensor, and is found there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ....row import TensorRow
from ...integers import HALF_A_STEP, Integers, Stored
from ...records import Case
from .functions import FUNCTIONS, dequantised
from .graph import QUANTISERS, SAME, NodeInput, ReadGraph, Values
from .misread import INFINITE, SCALE, Misreading, of_pairs, of_product, read_again, scale_used
from .nodes import attribute, input_at
from .places import TensorPlaces
from .quantised import dynamically, scale_and_zero, scaled_output, stored
from .unquantised_attention import NODES, UnquantisedAttention
from .weights import StoredWeights

ARRANGED = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten"})


class Unquantised:
    """The tensor `value` of a graph, without what quantisation does to it in the step that makes it.

    `product` is the node that multiplies in this step, if there is one;
    `weight` is what the product's second factor has to be, as it stands in the graph; None where that is a value, too.
    `stop` are the tensors that the step is made from: nothing before them is looked at. `owners`: value -> its tensor.
    """

    def __init__(
        self, graph: ReadGraph, product: Any, value: str, weight: Values | None, stop: frozenset[str],
        owners: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._graph, self._product, self._value, self._weight, self._stop = graph, product, value, weight, stop
        self._made = scaled_output(graph, product) if product is not None else ""
        self._found: Mapping[str, Values] = {}
        self._known: dict[str, bool] = {}
        self.unknown = ""
        """The op behind quantisers of which nobody knows what it computes: then nothing can be said of the tensor, and
        not all values that it is made of are recorded."""
        self._names = set(self._needed(value, first=True))
        self.misreadings = (*of_pairs(graph, self._names, owners), *of_product(graph, product, owners))
        """Where the graph reads integers otherwise than it made them."""
        self._reading: Misreading | None = None
        if any(one.product for one in self.misreadings):
            used = (input_at(product, 2), scale_used(graph, product))
            self._names |= {one for one in used if one and graph.constant(one) is None}

    def names(self) -> set[str]:
        """The values that have to be recorded."""
        return self._names

    @property
    def node(self) -> Any:
        """The node whose integers are replayed, None without one."""
        return self._product

    def touched(self) -> bool:
        """Whether there is any quantisation in it."""
        return self._rounds(self._value, first=True)

    def __call__(self, found: Mapping[str, Values], case: Case) -> Values:
        """The tensor, from the recorded values."""
        self._found, self._reading = found, None
        return self._clean(self._value, first=True)

    def read_rightly(self, found: Mapping[str, Values], misreading: Misreading) -> Values:
        """The same, had the integers been read as they were made."""
        self._found, self._reading = found, misreading
        return self._clean(self._value, first=True)

    def _rounds(self, name: str, *, first: bool = False) -> bool:
        """Whether there is quantisation between a value and the tensors that the step is made from."""
        node = self._graph.maker.get(name)
        if node is None or (name in self._stop and not first) or self._graph.constant(name) is not None:
            return False
        if name not in self._known:
            self._known[name] = False  # a circle
            itself = self._rounds_itself(node) or (name == self._made and self._multiplies_stored())
            self._known[name] = itself or any(self._rounds(one) for one in self._data(node, name))
        return self._known[name]

    def _multiplies_stored(self) -> bool:
        """Whether the product's second factor is stored in integers, whatever the first is."""
        return bool(self._graph.made_by(self._product.input[1]) == "DequantizeLinear")

    def _rounds_itself(self, node: Any) -> bool:
        if node.op_type == "DequantizeLinear":
            return bool(self._graph.made_by(node.input[0]) == "QuantizeLinear")
        return node.op_type in ("DynamicQuantizeLinear", "MatMulInteger", "DynamicQuantizeMatMul")

    def _data(self, node: Any, name: str) -> list[str]:
        """What of a node's inputs is computed with."""
        if name == self._made:
            return [str(one) for one in self._product.input[:2]]
        if node.op_type == "DequantizeLinear":
            before = self._graph.maker.get(node.input[0])
            return [str(before.input[0])] if before is not None and before.op_type == "QuantizeLinear" else []
        arranges = node.op_type in SAME | ARRANGED | {"Transpose", "Gather", "DynamicQuantizeLinear"}
        return [str(one) for one in (node.input[:1] if arranges else node.input) if one]

    def _needed(self, name: str, *, first: bool = False) -> Iterator[str]:
        if self._graph.constant(name) is not None:
            return
        yield name
        node = self._graph.maker.get(name)
        stops = (name in self._stop and not first) or not (name == self._made or self._rounds(name, first=first))
        if node is None or stops:
            return
        if node.op_type == "DynamicQuantizeLinear":
            yield from node.output
        elif not self._replayed(node, name):
            self.unknown = str(node.op_type)
            return
        for one in self._data(node, name):
            yield from self._needed(one)

    def _replayed(self, node: Any, name: str) -> bool:
        """Whether it is known what a node computes."""
        if node.op_type == "Gather":
            return self._graph.constant(node.input[1]) is not None
        known = node.op_type in SAME | ARRANGED | {"Transpose", "DequantizeLinear"} or node.op_type in FUNCTIONS
        return known or name == self._made

    def _clean(self, name: str, *, first: bool = False) -> Values:
        known = self._graph.constant(name)
        if known is not None:
            return known
        node = self._graph.maker.get(name)
        if node is None or (name in self._stop and not first):
            return self._found[name]
        if name == self._made:
            return self._multiplied()
        if not self._rounds(name, first=first):
            return self._found[name]
        if node.op_type == "DynamicQuantizeLinear":
            given, scale, zero = (self._found[one] for one in node.output)
            return self._less(str(node.input[0]), dequantised(given, scale, zero), scale, zero, (0, 255))
        if node.op_type == "DequantizeLinear":
            return self._statically(self._graph.maker[node.input[0]], name)
        return self._computed(node, name) if node.op_type in FUNCTIONS else self._arranged(node, name)

    def _statically(self, quantiser: Any, name: str) -> Values:
        """Of a pair of QuantizeLinear and DequantizeLinear; with a scale that isn't stored it is left as it is."""
        scale, zero = scale_and_zero(self._graph, quantiser)
        if scale is None:
            return self._found[name]
        kept = np.zeros((), np.uint8) if zero is None else zero
        ends, after = np.iinfo(kept.dtype), self._found[name]
        if self._reading is not None and name in self._reading.pairs:
            if self._reading.kind == INFINITE:
                return self._clean(str(quantiser.input[0]))
            after = read_again(self._graph, name, after, self._reading.kind)
        return self._less(str(quantiser.input[0]), after, scale, kept, (ends.min, ends.max))

    def _less(self, before: str, after: Values, scale: Values, zero: Values, ends: tuple[int, int]) -> Values:
        """What was before, and with it what rounding to the scale doesn't explain of `after`."""
        if not np.isfinite(scale).all():  # of infinities: rounds nothing to nothing
            return after
        low, high = ((end - zero.astype(np.float64)) * scale for end in ends)
        beyond = np.nan_to_num(after - np.clip(self._value_of(before), low, high))  # NaN isn't this rounding's
        return np.asarray(self._clean(before) + beyond - np.clip(beyond, -HALF_A_STEP * scale, HALF_A_STEP * scale))

    def _value_of(self, name: str) -> Values:
        known = self._graph.constant(name)
        return self._found[name] if known is None else known

    def _computed(self, node: Any, name: str) -> Values:
        """What the op makes of its inputs as they were, and with it what it made otherwise of those that it had."""
        function, inputs = FUNCTIONS[node.op_type], [str(one) for one in node.input if one]
        with np.errstate(all="ignore"):
            made = function(node, *(_wide(self._value_of(one)) for one in inputs))
            right = function(node, *(_wide(self._clean(one)) for one in inputs))
            if made.dtype.kind == "b":
                return right
            apart = np.where(np.isfinite(made), self._found[name] - made, 0.0)
        return np.asarray(right + apart)

    def _arranged(self, node: Any, name: str) -> Values:
        value = self._clean(str(node.input[0]))
        if node.op_type == "Gather":
            at = self._graph.constant(node.input[1])
            assert at is not None, "it is replayed only then"
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
        made = self._found[self._made].astype(np.float64)
        if self._reading is not None and self._reading.product:
            made = self._product_read_rightly(made, weight)
        return made - rounded + right

    def _product_read_rightly(self, made: Values, weight: Values | None) -> Values:
        """A product of integers, with the scale or the zero by which its first factor was made."""
        assert weight is not None, "it multiplies by what is stored"
        _, scale, zero = (self._found[one] for one in self._graph.maker[self._product.input[0]].output)
        if self._reading is not None and self._reading.kind == SCALE:
            return np.asarray(made * (scale.item() / self._found[scale_used(self._graph, self._product)].item()))
        used = input_at(self._product, 2)
        shift = float(zero.item()) - (float(self._value_of(used).item()) if used else 0.0)
        return np.asarray(made - shift * scale.item() * weight.sum(axis=0))

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


def _wide(value: Values) -> Values:
    """Numbers in float64; conditions as they are."""
    return value if value.dtype.kind == "b" else value.astype(np.float64)


def unquantised(
    graph: ReadGraph, weights: StoredWeights, places: TensorPlaces, rows: Sequence[TensorRow],
    params: Mapping[str, Values], model: Mapping[str, Values],
) -> dict[str, Unquantised | UnquantisedAttention]:  # fmt: skip
    """What takes quantisation out of the tensors that have any of it. `params` are the case's weights, `model` those of
    the model that was exported, as far as they are known."""
    found: dict[str, Unquantised | UnquantisedAttention] = {}
    stop = frozenset(places.values.values())
    owners = {one: name for name, value in places.values.items() for one in (value, graph.back(value, QUANTISERS))}
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
        clean = Unquantised(graph, product, places.values[row.name], weight, stop, owners)
        if clean.touched():
            found[row.name] = clean
    return found


def _right_weight(
    weights: StoredWeights, name: str, use: NodeInput, params: Mapping[str, Values], model: Mapping[str, Values]
) -> Values:
    """The weight with which a product has to be judged: the case's, or what the product takes."""
    own, held = weights.upright(use), weights.held(use)
    assert own is not None, "a product is found by its weight"
    return params[name] if held is not None and _is_right(weights, name, held, params, model) else own


def _is_right(
    weights: StoredWeights, name: str, held: Integers, params: Mapping[str, Values], model: Mapping[str, Values]
) -> bool:
    """Whether what the file stores of a parameter for a step is the nearest that integers come to the model's. Without
    the model, a table that is looked up from other integers is taken as it is."""
    known = model.get(name, params.get(name) if not weights.looked_up_in_integers(name) else None)
    return name in params and (known is None or held.explains(known))


def stored_parameters(
    weights: StoredWeights, rows: Iterable[TensorRow], params: Mapping[str, Values], model: Mapping[str, Values]
) -> dict[str, tuple[Stored, ...]]:
    """The parameters of each row that the graph stores in integers for it."""
    found = {}
    for row in rows:
        product = weights.product(row) if row.op in ("dense", "decoder") else None
        held = []
        for i, (name, _) in enumerate(row.parameters):
            uses = [product] if product is not None and i == 0 else weights.uses(name)
            first = next((one for one in map(weights.held, uses) if one is not None), None)
            if first is not None:
                held.append(Stored(name, first, _is_right(weights, name, first, params, model)))
        if held:
            found[row.name] = tuple(held)
    return found
