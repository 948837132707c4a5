"""Which value of a graph is which of BERT's tensors: recognised by the parameters that it lies between.

    dense        what a product with the weight becomes when the bias is added
    layer_norm   what the gain and the offset are applied to last; its input is what the mean is taken from
    attention    the context is what the output's weight is multiplied with; the probabilities are the other factor
                 that makes it, the scores what goes into their softmax, without the mask
    activation   what the next weight is multiplied with

So a fused node shows what goes in and comes out of it. What isn't certain is left out.
"""

from collections.abc import Sequence
from typing import Any

from ....row import TensorRow
from ....topology import readers
from .graph import QUANTISERS, SAME, SHAPES, NodeInput, ReadGraph
from .nodes import attribute
from .quantised import QUANTISED_EMBEDDINGS, scaled_output
from .weights import StoredWeights, bias_of

NORMS = {
    "LayerNormalization": (1, 2), "SkipLayerNormalization": (2, 3), "EmbedLayerNormalization": (5, 6),
    QUANTISED_EMBEDDINGS: (5, 6),
}  # fmt: skip
"""Op -> where it takes gain and offset."""
SUMS = {"SkipLayerNormalization": 3, "EmbedLayerNormalization": 2}
"""Op of a norm that adds up its inputs first -> the optional output that shows their sum."""
SCALED = SAME | QUANTISERS | {"Mul", "Div"}
FACTORS = frozenset({"MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul"})
STANDARD = ("", "ai.onnx")
"""The domain of ONNX's own ops; others are fused ones."""
ACTIVATED = frozenset({"Tanh", "Relu", "Gelu", "FastGelu", "Erf", "Sigmoid"})


class TensorPlaces:
    """The values of the network's `rows`: `values` by the tensor's name. `extra` are values that nodes don't give out
    yet: name -> (node, number of its output); `added` are biases that fused nodes add to a value inside: tensor ->
    bias."""

    def __init__(self, graph: ReadGraph, weights: StoredWeights, rows: Sequence[TensorRow]) -> None:
        self._graph, self._weights = graph, weights
        self._readers = readers(rows)
        self._rows = {row.name: row for row in rows}
        self.extra: dict[str, tuple[Any, int]] = {}
        self.added: dict[str, str] = {}
        self.values: dict[str, str] = {}
        for row in rows:
            value = self._value(row)
            if value is not None:
                self.values[row.name] = self._given_on(value)

    def _given_on(self, value: str) -> str:
        """What all who read a value are given: itself, or what a pair of quantisers leaves of it. Integers that a
        product takes as they are aren't the tensor."""
        found = self._graph.on(value, QUANTISERS)
        return str(self._graph.maker[found].input[0]) if self._graph.made_by(found) == "QuantizeLinear" else found

    def operand(self, row: TensorRow, at: int) -> str | None:
        """The value that the op of a row takes as its input number `at`: the tensor, or what became of it on its way,
        by quantisation; None where that isn't certain."""
        node = self.product(row)
        scaled = node is not None and attribute(node, "alpha", 1.0) != 1.0  # a factor that was drawn out of it
        return None if node is None or scaled else str(node.input[at])

    def product(self, row: TensorRow) -> Any:
        """The node that multiplies for a row; None where there isn't exactly one."""
        if row.op in ("dense", "decoder"):
            use = self._weights.product(row)
            return use.node if use else None
        return self._product_of(row) if row.op in ("scores", "context") else None

    def left_out(self, row: TensorRow) -> bool:
        """Whether the graph has what a step is made from in the place of its result: it computes nothing there."""
        return self.values.get(row.name) in [self.values.get(name, "") for name in row.inputs]

    def _value(self, row: TensorRow) -> str | None:
        match row.op:
            case "lookup":
                return self._lookup(row)
            case "dense" | "decoder":
                return self._dense(row)
            case "layer_norm":
                return self._norm(row)
            case "add" | "residual":
                return self._summed(row)
            case "masked_softmax":
                return self._probs(row)
            case "scores":
                return self._scores(row)
            case "context" | "activation":
                return self._read_next(row)
            case "tanh":
                return self._activated(row)
        return None

    # -- what parameters make ----------------------------------------------------------------------------------------

    def _lookup(self, row: TensorRow) -> str | None:
        gathers = [use for use in self._weights.uses(row.parameters[0].name) if use.node.op_type == "Gather"]
        if len(gathers) != 1 or gathers[0].at:
            return None
        return str(gathers[0].node.output[0])

    def _dense(self, row: TensorRow) -> str | None:
        """With its bias; without one, if the graph has none for it, a fused node's among them."""
        use = self._weights.product(row)
        if use is None or attribute(use.node, "activation"):
            return None
        bias = bias_of(self._graph, use.node)
        if bias is None:
            return self._bare(row, use)
        if bias in use.node.input:
            return str(use.node.output[0])
        adding = next((one.node for one in self._graph.users(bias) if self._adds(one, use.node)), None)
        if adding is not None:
            return str(adding.output[0])
        self.added[row.name] = bias
        return scaled_output(self._graph, use.node)

    def _adds(self, use: NodeInput, product: Any) -> bool:
        """Whether this is the plain sum of a bias and this product."""
        if use.node.op_type != "Add":
            return False
        through = SAME | QUANTISERS | {"Reshape", "Mul"}
        return self._graph.back(str(use.node.input[1 - use.at]), through) == self._graph.back(
            str(product.output[0]), through
        )

    def _bare(self, row: TensorRow, use: NodeInput) -> str | None:
        """A product alone, where its bias isn't added elsewhere, nor in a fused node that reads it."""
        if self._weights.uses(row.parameters[1].name):
            return None
        made = scaled_output(self._graph, use.node)
        reading = self._graph.users(self._graph.on(made, SAME | SHAPES))
        return None if any(one.node.domain not in STANDARD for one in reading) else made

    def _norm(self, row: TensorRow) -> str | None:
        node = self._norm_node(row)
        if node is None:
            return self._read_by_all(row)
        if node.op_type in NORMS:
            return str(node.output[0])
        made = str(node.output[0])
        for use in self._graph.users(self._graph.on(made, SAME)):
            other = str(use.node.input[1 - use.at]) if use.node.op_type == "Add" else ""
            value = self._graph.constant(other) if other else None
            if value is not None and value.ndim == 1:
                return str(use.node.output[0])
        return None if self._weights.uses(row.parameters[1].name) else made

    def _read_by_all(self, row: TensorRow) -> str | None:
        """Where the graph doesn't use a norm's parameters: what all dense layers behind it multiply."""
        behind = [one for one in self._readers[row.name] if one.op in ("dense", "decoder")]
        taken = {self.operand(one, 0) for one in behind if one.arguments != ("first_token",)}
        found = taken.pop() if len(taken) == 1 else None
        return (
            self._unquantised(found) if found is not None and not self._weights.uses(row.parameters[0].name) else None
        )

    def _norm_node(self, row: TensorRow) -> Any:
        """The node that applies a norm's gain; None unless there is exactly one for the row."""
        found = [
            use
            for use in self._weights.uses(row.parameters[0].name)
            if use.node.op_type == "Mul" or NORMS.get(use.node.op_type, ("",))[0] == use.at
        ]
        return use.node if (use := self._weights.of_row(row, found)) else None

    # -- what lies between them --------------------------------------------------------------------------------------

    def _summed(self, row: TensorRow) -> str | None:
        """What the norm that reads it takes the mean of."""
        reader = next((one for one in self._readers[row.name] if one.op == "layer_norm"), None)
        return self._normed(reader) if reader is not None else None

    def _normed(self, row: TensorRow) -> str | None:
        node = self._norm_node(row)
        if node is None:
            return None
        if node.op_type == QUANTISED_EMBEDDINGS:  # it shows no sum
            return None
        if node.op_type in SUMS:
            return self._optional(node, SUMS[node.op_type])
        if node.op_type in NORMS:
            return self._graph.back(str(node.input[0]), SAME)
        return self._centred(node)

    def _centred(self, node: Any) -> str | None:
        """From a norm made of single ops: the input whose mean is subtracted before the gain is applied."""
        for name in node.input:
            scaled = self._graph.maker.get(self._graph.back(name, SAME))
            if scaled is None or scaled.op_type not in ("Div", "Mul"):
                continue
            for one in scaled.input:
                centred = self._graph.maker.get(self._graph.back(one, SAME))
                if centred is None or centred.op_type != "Sub":
                    continue
                mean = self._graph.maker.get(self._graph.back(centred.input[1], SAME))
                if mean is not None and mean.op_type == "ReduceMean":
                    return self._graph.back(str(centred.input[0]), SAME)
        return None

    def _optional(self, node: Any, number: int) -> str:
        """An output that the node gives only if it is asked for."""
        if len(node.output) > number and node.output[number]:
            return str(node.output[number])
        name = f"{node.output[0]}:sum"
        self.extra[name] = (node, number)
        return name

    def _read_next(self, row: TensorRow) -> str | None:
        """What the op that reads it takes; before quantisation."""
        reader = next((one for one in self._readers[row.name] if one.parameters), None)
        if reader is None:
            return None
        if reader.op == "layer_norm":
            return self._normed(reader)
        taken = self.operand(reader, 0)
        return self._unquantised(taken) if taken is not None else None

    def _unquantised(self, name: str) -> str:
        """The value before it was quantised, statically or when it was known."""
        return self._graph.back(name, QUANTISERS | {"DynamicQuantizeLinear", "Identity"})

    def _activated(self, row: TensorRow) -> str | None:
        """What an elementwise op makes of its input, or what the reader takes, whatever that is."""
        before = self.values.get(row.inputs[0])
        if before is not None:
            for use in self._graph.users(self._graph.on(before, SAME | SHAPES)):
                if use.node.op_type in ACTIVATED:
                    return str(use.node.output[0])
        return self._read_next(row)

    # -- attention ---------------------------------------------------------------------------------------------------

    def _product_of(self, row: TensorRow) -> Any:
        """The product of attention that makes the scores or the context."""
        if row.op == "context":
            context = self.values.get(row.name) or self._read_next(row)
            made = context and self._graph.maker.get(self._graph.back(context, SAME | SHAPES | QUANTISERS))
            return made if made is not None and made and made.op_type in FACTORS and self._two_factors(made) else None
        found = self._scores(row)
        return self._graph.maker[self._graph.back(found, SCALED)] if found else None

    def _two_factors(self, node: Any) -> bool:
        return all(self._graph.constant(name) is None for name in node.input[:2])

    def _probs(self, row: TensorRow) -> str | None:
        taken = self.operand(self._rows[f"{row.part}.context"], 0)
        return self._graph.back(self._unquantised(taken), SAME) if taken is not None else None

    def _softmaxed(self, row: TensorRow) -> str | None:
        """What goes into the softmax whose result makes the context. NaN of rows without tokens may be replaced in it;
        it may be made of single ops, exp(x - max) over its sum."""
        name = self._probs(row)
        made = self._graph.maker.get(name) if name else None
        if made is not None and made.op_type == "Where":
            inner = (self._graph.maker.get(self._graph.back(one, SAME | QUANTISERS)) for one in made.input[1:])
            made = next((node for node in inner if node is not None and node.op_type == "Softmax"), None)
        for op in ("Div", "Exp"):
            if made is not None and made.op_type == op:
                made = self._graph.maker.get(self._graph.back(str(made.input[0]), SAME))
        return str(made.input[0]) if made is not None and made.op_type in ("Softmax", "Sub") else None

    def _scores(self, row: TensorRow) -> str | None:
        """A softmax's input before the mask: a product of two values, scaled by constants."""
        softmaxed = self._softmaxed(row)
        if softmaxed is None:
            return None
        masked = self._graph.back(softmaxed, SAME | QUANTISERS)
        made = self._graph.maker.get(masked)
        inputs = [] if made is None or made.op_type not in ("Add", "Where") else list(made.input)
        for name in (masked, *inputs):
            name = self._graph.back(str(name), SAME)
            product = self._graph.maker.get(self._graph.back(name, SCALED))
            if product is not None and product.op_type in FACTORS and self._two_factors(product):
                return name
        return None
