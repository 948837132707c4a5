"""Which of a graph's stored tensors is which of BERT's parameters, and its values.

In this order: by its own name, which exporters keep for what they don't convert; by the bias that is added to what it
makes; by its values, where those of the model that was exported are known. The names of nodes aren't looked at:
optimisers keep them where the node has become another, or give it away with another.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ....checkpoint.naming import Naming
from ....heads import DECODER, WORD_EMBEDDINGS
from ....row import TensorRow
from ...integers import Integers
from ...records import Arrays
from .graph import QUANTISERS, SAME, NodeInput, ReadGraph, Values
from .nodes import attribute, input_at
from .quantised import FUSED_PRODUCTS, LOOKUPS
from .quantised import stored as quantised_weight

PRODUCTS = dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulInteger", *FUSED_PRODUCTS), 1)
"""Op -> where it takes its second factor."""
OWN_BIAS = {"Gemm": 2, "FusedGemm": 2, **FUSED_PRODUCTS}
"""Op of a product that can add a bias -> where it takes it."""
BIASED = {"BiasGelu": 1, "FastGelu": 1, "SkipLayerNormalization": 4}
"""Op of a fused node that adds a bias to what it is given -> where it takes the bias."""
ALIKE = 0.1
"""The relative L2 difference below which a tensor is taken for a rounded or quantised parameter: int8 makes one of
0.02 at most, any other parameter one above 1."""
QUANTISED = ("_quantized", "_scale", "_zero_point")
"""What quantisers add to a name: values, their scale and their zero."""


class StoredWeights:
    """The parameters of the network's `rows` in a graph. `known` are the values of the model that was exported, as far
    as they are known, `naming` is what it called them."""

    def __init__(
        self, graph: ReadGraph, rows: Sequence[TensorRow], known: Mapping[str, Values], naming: Naming
    ) -> None:
        self._graph, self._naming = graph, naming
        self._rows = [row for row in rows if row.parameters]
        self._names = list(dict.fromkeys(p.name for row in self._rows for p in row.parameters))
        self._stored: dict[str, list[str]] = {}
        """Parameter -> the stored tensors that hold it."""
        taken = self._by_name()
        taken |= self._by_bias(taken)
        self._by_value(known, taken)

    def uses(self, parameter: str) -> list[NodeInput]:
        """The nodes that compute with a parameter."""
        return [use for stored in self._stored.get(parameter, ()) for use in self._graph.uses(stored)]

    def product(self, row: TensorRow) -> NodeInput | None:
        """The product that makes the tensor of a dense row or of a decoder; None unless there is exactly one."""
        uses = self.uses(row.parameters[0].name)
        return self.of_row(row, [use for use in uses if PRODUCTS.get(use.node.op_type) == use.at])

    def of_row(self, row: TensorRow, uses: Sequence[NodeInput]) -> NodeInput | None:
        """The one of these uses of a row's weight that is the row's. Where layers share their weights, there have to be
        as many as layers, each made from the one before; None where that isn't so."""
        weight = row.parameters[0].name
        sharing = [one.name for one in self._rows if one.op == row.op and one.parameters[0].name == weight]
        if len(uses) != len(sharing):
            return None
        uses = self._graph.in_turn(uses)
        return uses[sharing.index(row.name)] if uses else None

    def arrays(self) -> Arrays:
        """The values of the parameters that were found, as BERT has them: a dense layer's weight is (out, in)."""
        found = {}
        for name in self._names:
            uses = sorted(self.uses(name), key=self._priority)
            value = next((value for value in map(self.upright, uses) if value is not None), None)
            if value is not None:
                found[name] = value
        return found

    def _priority(self, use: NodeInput) -> tuple[bool, bool]:
        """Tables as they are looked up come first, and what isn't rounded to integers for one of several layers."""
        return use.node.op_type not in LOOKUPS, self.held(use) is not None

    def decoder(self) -> Values | None:
        """The table with which the decoder compares, (V, H)."""
        row = next((row for row in self._rows if row.op == "decoder"), None)
        use = row and self.product(row)
        return self.upright(use) if use else None

    def explained(self, parameter: str, right: Values) -> bool:
        """Whether the quantised values that the file stores of a parameter, all of them, are the nearest to the right
        ones; False where none is quantised."""
        held = [one for one in map(self.held, self.uses(parameter)) if one is not None]
        return bool(held) and all(one.explains(right) for one in held)

    def looked_up_in_integers(self, parameter: str) -> bool:
        """Whether a table, or what is fused with its look-up, is quantised there."""
        gathers = [use for use in self.uses(parameter) if use.node.op_type in LOOKUPS]
        return any(quantised_weight(self._graph, use) is not None for use in gathers)

    def read_in_integers(self, parameter: str) -> bool:
        """Whether something reads a parameter in integers that is no product, which is judged without its rounding."""
        others = (use for use in self.uses(parameter) if PRODUCTS.get(use.node.op_type) != use.at)
        return any(self.held(use) is not None for use in others)

    def _lies(self, use: NodeInput) -> bool:
        """Whether a product takes the weight as (in, out)."""
        return PRODUCTS.get(use.node.op_type) == use.at and not attribute(use.node, "transB", 0)

    def held(self, use: NodeInput) -> Integers | None:
        """What a node takes, where that is stored in integers; a dense layer's weight as (out, in)."""
        held = quantised_weight(self._graph, use)
        return held.turned() if held is not None and self._lies(use) else held

    def upright(self, use: NodeInput) -> Values | None:
        """The values of the weight that a node takes, a dense layer's as (out, in)."""
        held = self.held(use)
        if held is not None:
            return held.values
        value = self._graph.constant(use.node.input[use.at])
        if value is None or value.dtype.kind != "f":
            return None
        return value.T if self._lies(use) else value

    # -- finding them ------------------------------------------------------------------------------------------------

    def _add(self, parameter: str, stored: str) -> None:
        held = self._stored.setdefault(parameter, [])
        if stored not in held:
            held.append(stored)

    def _by_name(self) -> set[str]:
        """By the end of the stored tensor's name: wrapped models have something in front of it."""
        others = {DECODER: WORD_EMBEDDINGS, "cls.predictions.decoder.bias": "cls.predictions.bias"}
        endings = {name: name for name in self._names} | {
            other: name for other, name in others.items() if name in self._names
        }
        endings = {self._naming.theirs(name): kept for name, kept in endings.items()} | endings
        endings |= {
            name.removeprefix(base): kept for base in ("bert.", self._naming.base) for name, kept in endings.items()
        }
        taken = set()
        for stored in self._graph.initializers:
            plain = stored
            for ending in QUANTISED:
                plain = plain.removesuffix(ending)
            parts = plain.split(".")
            ends = (".".join(parts[i:]) for i in range(len(parts)))
            found = next((endings[end] for end in ends if end in endings), None)
            if found is not None:
                taken.add(stored)
                if not stored.endswith(QUANTISED[1:]):
                    self._add(found, stored)
        return taken

    def _by_bias(self, taken: set[str]) -> set[str]:
        """The weight of a product to which a known bias is added."""
        owners = {row.parameters[1].name: row.parameters[0].name for row in self._rows if len(row.parameters) > 1}
        biases = {stored: owners[name] for name in owners for stored in self._stored.get(name, ())}
        found = set()
        for node in self._graph.nodes:
            at = PRODUCTS.get(node.op_type)
            if at is None or self._graph.constant(node.input[at]) is None:
                continue
            stored = self._graph.stored_as(node.input[at])
            bias = bias_of(self._graph, node)
            if stored not in taken and bias is not None and self._graph.stored_as(bias) in biases:
                self._add(biases[self._graph.stored_as(bias)], stored)
                found.add(stored)
        return found

    def _by_value(self, known: Mapping[str, Values], taken: Iterable[str]) -> None:
        """The parameters that are still missing, by their values, upright or transposed."""
        missing = {name: known[name] for name in self._names if name in known and name not in self._stored}
        if not missing:
            return
        left = [name for name in self._graph.initializers if name not in set(taken)]
        for stored in left:
            value = self._meant(stored)
            if value is None or value.ndim not in (1, 2) or value.dtype.kind != "f":
                continue
            found = next((name for name, right in missing.items() if _alike(value, right)), None)
            if found is not None:
                self._add(found, stored)

    def _meant(self, stored: str) -> Values | None:
        """The values of a stored tensor; of a quantised one what they stand for."""
        value = self._graph.constant(stored)
        if value is None or value.dtype.kind == "f":
            return value
        for use in self._graph.users(stored):
            if use.node.op_type == "DequantizeLinear" and use.at == 0:
                return self._graph.constant(use.node.output[0])
            held = quantised_weight(self._graph, use) if PRODUCTS.get(use.node.op_type) == use.at else None
            if held is not None:
                return held.values
        return None


def bias_of(graph: ReadGraph, product: Any) -> str | None:
    """The name of the constant that is added to a product, by itself or inside a fused node; None without one."""
    if product.op_type in OWN_BIAS and (own := input_at(product, OWN_BIAS[product.op_type])):
        return own
    made = str(product.output[0])
    through = SAME | QUANTISERS | ({"Mul"} if product.op_type == "MatMulInteger" else set())
    for use in graph.users(graph.on(made, through | {"Reshape"})):
        if use.node.op_type == "Add":
            other = str(use.node.input[1 - use.at])
            value = graph.constant(other)
            if value is not None and value.ndim == 1:
                return other
        elif use.node.op_type in BIASED and use.at < 2 and len(use.node.input) > BIASED[use.node.op_type]:
            return str(use.node.input[BIASED[use.node.op_type]]) or None
    return None


def _alike(value: Values, right: Values) -> bool:
    """Whether a tensor holds a parameter's values, but for rounding; a matrix may lie the other way."""
    ways = [value] if value.ndim == 1 else [value, value.T]
    for way in ways:
        if way.shape == right.shape and (size := float(np.linalg.norm(right))):
            with np.errstate(all="ignore"):
                apart = float(np.linalg.norm(way.reshape(-1)[:4096] - right.reshape(-1)[:4096]))
                if apart > 2 * ALIKE * size:  # most are told apart by a part of them
                    continue
                if float(np.linalg.norm(way - right)) < ALIKE * size:
                    return True
    return False
