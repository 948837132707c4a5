"""Integer arithmetic inside of fused nodes that nobody replays: what is made by it can't be judged.

MatMulNBits, QLinearLeakyRelu, ...; products of weights that weren't recognised; and what a fused node makes of values
that were rounded before.
"""

from typing import Any

from .graph import SAME, ReadGraph
from .quantised import FUSED_PRODUCTS
from .unquantised import Unquantised
from .unquantised_attention import UnquantisedAttention

FUSED = frozenset({"MatMulInteger", "MatMulNBits", "QGemm", "QAttention", *FUSED_PRODUCTS})
ROUNDERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
WEIGHTED = frozenset({"MatMul", "Gemm", "FusedMatMul", "FusedGemm", "Attention"})


def unreplayed(
    graph: ReadGraph, node: Any, clean: Unquantised | UnquantisedAttention | None, stop: frozenset[str]
) -> str:
    """The op of a node that computes with integers, on the way from the values `stop` to what `node` makes; "" without
    one. `clean` is what takes quantisation out of it: the node that it replays is taken care of, and so are values that
    are rounded to integers; without it nothing is."""
    replayed = None if clean is None else clean.node
    open_, seen = [node], set[str]()
    while open_:
        made = open_.pop()
        if made is None:
            continue
        if made is not replayed and _computes_with_integers(graph, made):
            return str(made.op_type)
        if clean is None and made.op_type in ROUNDERS:
            return str(made.op_type)
        new = {str(one) for one in made.input if one} - seen - stop
        seen |= new
        open_ += [graph.maker.get(name) for name in sorted(new) if graph.constant(name) is None]
    return ""


def _computes_with_integers(graph: ReadGraph, node: Any) -> bool:
    if node.op_type in FUSED or node.op_type.startswith("QLinear"):
        return True
    stored = [graph.back(one, SAME | {"Transpose"}) for one in node.input[:2] if graph.constant(one) is not None]
    return node.op_type in WEIGHTED and any(graph.made_by(one) == "DequantizeLinear" for one in stored)
