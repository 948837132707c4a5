"""The context that a fused node of attention makes of integers, without what quantisation does to it.

QAttention takes the layer's input as integers, and the weights of query, key and value as one stored matrix of integers
(H, 3H); a plain Attention may stand between a QuantizeLinear and a DequantizeLinear. The context is the recorded one,
less what attention makes of the rounded input and weights, plus what it makes of them as they were.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.replay import Replay
from ...graph.steps import Graph
from ...integers import Integers
from ...records import Case
from .functions import dequantised
from .graph import QUANTISERS, NodeInput, ReadGraph, Values
from .quantised import stored

ROUNDERS = QUANTISERS | {"DynamicQuantizeLinear"}
NODES = ("QAttention", "Attention")


class UnquantisedAttention:
    """The tensor of the row `context`, made by `node`. `x` is the value of the layer's input, the tensor; `params` and
    `model` as in `unquantised`."""

    def __init__(
        self, graph: ReadGraph, node: Any, context: TensorRow, dense: Sequence[TensorRow], x: str | None,
        params: Mapping[str, Values], model: Mapping[str, Values],
    ) -> None:  # fmt: skip
        self._graph, self._node, self._name = graph, node, context.name
        self._dense = dense
        self._input = dense[0].inputs[0]
        self._x = x or graph.back(str(node.input[0]), ROUNDERS)
        self._held = stored(graph, NodeInput(node, 1))
        self._own = graph.constant(node.input[1]) if self._held is None else self._held.values
        self._right = _right(self._held, [row.parameters[0].name for row in dense], params, model)
        self._bias = graph.constant(node.input[2])
        self._right_bias = self._bias
        if graph.made_by(node.input[2]) == "DequantizeLinear":
            biases = [row.parameters[1].name for row in dense]
            right = _right(stored(graph, NodeInput(node, 2)), biases, params, model)
            self._right_bias = self._bias if right is None else right

    @property
    def node(self) -> Any:
        """The node whose integers are replayed."""
        return self._node

    def names(self) -> set[str]:
        """The values that have to be recorded."""
        taken = [str(self._node.input[at]) for at in self._taken()]
        return {str(self._node.output[0]), self._x, *(one for one in taken if one and self._constant(one) is None)}

    def touched(self) -> bool:
        """Whether integers take part, in a matrix of all three weights."""
        integers = self._held is not None or self._graph.made_by(self._node.input[0]) in QUANTISERS
        shape = None if self._own is None else self._own.shape
        return integers and shape is not None and shape[1] == 3 * shape[0]

    def __call__(self, found: Mapping[str, Values], case: Case) -> Values:
        """The tensor, from the recorded values."""
        assert self._own is not None, "it is only asked for where integers are known"
        rounded = self._context(case, self._rounded(found), self._own, self._bias)
        weight = self._own if self._right is None else self._right
        right = self._context(case, found[self._x], weight, self._right_bias)
        return np.asarray(found[str(self._node.output[0])].astype(np.float64) - rounded + right)

    def _taken(self) -> tuple[int, ...]:
        """Where the node takes its input, and that one's scale and zero."""
        return (0, 3, 6) if self._node.op_type == "QAttention" else (0,)

    def _constant(self, name: str) -> Values | None:
        return self._graph.constant(name)

    def _rounded(self, found: Mapping[str, Values]) -> Values:
        """The layer's input as the node takes it."""
        names = [str(self._node.input[at]) for at in self._taken()]
        x, scale, zero = (*(found.get(name, self._constant(name)) for name in names), None, None)[:3]
        assert x is not None, "it was asked for"
        return x if scale is None else dequantised(x, scale, zero)

    def _context(self, case: Case, x: Values, weight: Values, bias: Values | None) -> Values:
        """What the steps from the layer's input on make of x with a weight (H, 3H) and a bias (3H)."""
        params = dict(case.params)
        for i, row in enumerate(self._dense):
            part = slice(i * len(weight), (i + 1) * len(weight))
            names = [name for name, _ in row.parameters]
            params[names[0]] = weight[:, part].T.astype(np.float64)
            if bias is not None:
                params[names[1]] = bias[part].astype(np.float64)
        return np.asarray(Replay(Graph(case, params), {self._input: x})(self._name))


def _right(
    held: Integers | None, names: Sequence[str], params: Mapping[str, Values], model: Mapping[str, Values]
) -> Values | None:
    """The parameters that the node has to have, side by side, weights as (in, out); None for its own, where these
    aren't the nearest that integers come to the model's, or to the case's where there is no model."""
    if any(name not in params for name in names):
        return None
    known = np.concatenate([model.get(name, params[name]).T for name in names], axis=-1)
    if held is not None and not held.explains(known):
        return None
    return np.concatenate([params[name].T for name in names], axis=-1)
