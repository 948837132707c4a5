"""Quantised graphs: what is stored as integers, their scale and their zero, and which weight it stands for.

A stored weight is right if each of its integers is the nearest one to the model's weight.
"""

from typing import Any

import numpy as np

from ...integers import Integers
from .graph import SAME, NodeInput, ReadGraph, Values
from .nodes import attribute, input_at

QUANTISED_EMBEDDINGS = "QEmbedLayerNormalization"
LOOKUPS = ("Gather", QUANTISED_EMBEDDINGS, "EmbedLayerNormalization")
"""Ops that take rows of tables."""
SCALES = {QUANTISED_EMBEDDINGS: (6, 11), "QAttention": (3, 6), "DynamicQuantizeMatMul": (1, 2),
          "MatMulIntegerToFloat": (2, 4)}  # fmt: skip
"""Op of a fused node that takes stored integers -> how far behind them it takes their scale and their zero."""
FUSED_PRODUCTS = {"DynamicQuantizeMatMul": 4, "MatMulIntegerToFloat": 6}
"""Op that multiplies integers, scales the result and adds a bias, as a session of onnxruntime fuses them -> where it
takes the bias."""


def stored(graph: ReadGraph, use: NodeInput) -> Integers | None:
    """The quantised weight that a node takes; None for one that isn't quantised."""
    if use.node.op_type == "MatMulInteger":
        scaling = graph.maker.get(scales(graph, use.node))
        factors = [] if scaling is None else [graph.constant(name) for name in scaling.input]
        scale = next((value for value in factors if value is not None), None)
        return _stored(graph.constant(use.node.input[1]), scale, graph.constant(input_at(use.node, 3)), 1)
    if use.node.op_type in SCALES:
        names = [input_at(use.node, use.at + behind) for behind in SCALES[use.node.op_type]]
        scale, zero = (graph.constant(name) for name in names)
        return _stored(graph.constant(use.node.input[use.at]), scale, zero, 1)
    if use.node.op_type == "Gather":
        reader = next((one.node for one in graph.users(use.node.output[0])), None)
        if reader is not None and reader.op_type == "DequantizeLinear" and not graph.made_by(use.node.input[0]):
            return _stored(graph.constant(use.node.input[0]), *scale_and_zero(graph, reader), 0)
    made = graph.maker.get(graph.back(use.node.input[use.at], SAME | {"Transpose"}))
    if made is None or made.op_type != "DequantizeLinear":
        return None
    found = _stored(graph.constant(made.input[0]), *scale_and_zero(graph, made), attribute(made, "axis", 1))
    turned = graph.made_by(use.node.input[use.at]) == "Transpose"
    return found.turned() if found is not None and turned else found


def dynamically(values: Values) -> tuple[Values, Values, Values]:
    """What DynamicQuantizeLinear makes of float32 values, in its arithmetic: integers, their scale, their zero."""
    low, high = min(values.min(), np.float32(0)), max(values.max(), np.float32(0))
    scale = np.float32((high - low) / np.float32(255)) if high > low else np.float32(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    integers = np.clip(np.rint(values / scale) + zero, 0, 255)
    return integers.astype(np.uint8), np.asarray(scale), np.asarray(zero, np.uint8)


def scales(graph: ReadGraph, product: Any) -> str:
    """The name of what a product of integers is multiplied with: the scales of both factors."""
    scaling = graph.maker.get(scaled_output(graph, product))
    return str(scaling.input[1]) if scaling is not None and scaling.op_type == "Mul" else ""


def scaled_output(graph: ReadGraph, product: Any) -> str:
    """A product's result; of a product of integers, what it becomes when it is scaled."""
    made = str(product.output[0])
    return graph.on(made, SAME | {"Mul"}) if product.op_type == "MatMulInteger" else made


def scale_and_zero(graph: ReadGraph, node: Any) -> tuple[Values | None, Values | None]:
    """Scale and zero of a QuantizeLinear or a DequantizeLinear."""
    return graph.constant(node.input[1]), graph.constant(input_at(node, 2))


def _stored(values: Values | None, scale: Values | None, zero: Values | None, axis: int) -> Integers | None:
    if values is None or scale is None or values.dtype.kind not in "iu":
        return None
    shape = [1] * values.ndim
    if values.ndim:
        shape[axis if axis < values.ndim else -1] = -1
    wide = (np.float64(0) if one is None else one.astype(np.float64) for one in (scale, zero))
    return Integers(values, *(one.reshape(shape) if one.size > 1 else one.reshape(()) for one in wide))
