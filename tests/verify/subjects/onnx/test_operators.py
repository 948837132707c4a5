"""Operators of integers are walked in as what they stand for: what lies hidden in them is, rounded, what they make."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bertref.verify.subjects.onnx.graph import ReadGraph

RNG = np.random.default_rng(7)
GIVEN = RNG.standard_normal((2, 3, 4)).astype(np.float32)
STEPS = {"x": (0.03, 120), "y": (0.05, 130), "sum": (0.06, 126), "soft": (1 / 256, 0), "square": (1 / 256, 0),
         "flat": (0.4, 128)}  # fmt: skip
"""Integers -> their scale and zero."""


def constants() -> dict[str, Any]:
    """Weights by channel, one upright and one that lies the other way, and biases."""
    found: dict[str, Any] = {
        "w": RNG.integers(-127, 128, (4, 5)).astype(np.int8), "w_scale": RNG.uniform(0.01, 0.02, 5).astype(np.float32),
        "w_zero": np.zeros(5, np.int8), "b": RNG.integers(0, 256, 5).astype(np.uint8),
        "v": RNG.integers(-127, 128, (2, 15)).astype(np.int8), "v_scale": RNG.uniform(0.01, 0.02, 2).astype(np.float32),
        "v_zero": np.zeros(2, np.int8), "c": RNG.integers(-900, 900, 2).astype(np.int32),
        "b_scale": np.float32(0.01), "b_zero": np.uint8(7), "shape": np.array([2, 15], np.int64),
    }  # fmt: skip
    for name, (scale, zero) in STEPS.items():
        found |= {f"{name}_scale": np.float32(scale), f"{name}_zero": np.uint8(zero)}
    return found


def step(name: str) -> list[str]:
    return [f"{name}_scale", f"{name}_zero"]


def model() -> Any:
    """A product, a sum, a softmax, its square, and a product of what is arranged otherwise."""
    fused = "com.microsoft"
    nodes = [
        helper.make_node("QuantizeLinear", ["given", *step("x")], ["x"]),
        helper.make_node("QLinearMatMul", ["x", *step("x"), "w", *step("w"), *step("y")], ["y"]),
        helper.make_node("QLinearAdd", ["b", *step("b"), "y", *step("y"), *step("sum")], ["sum"], domain=fused),
        helper.make_node("QLinearSoftmax", ["sum", *step("sum"), *step("soft")], ["soft"], domain=fused, axis=-1,
                         opset=17),
        helper.make_node("QLinearMul", ["soft", *step("soft"), "soft", *step("soft"), *step("square")], ["square"],
                         domain=fused),
        helper.make_node("Reshape", ["sum", "shape"], ["row"]),
        helper.make_node("QGemm", ["row", *step("sum"), "v", *step("v"), "c", *step("flat")], ["flat"], domain=fused,
                         transB=1),
        helper.make_node("DequantizeLinear", ["flat", *step("flat")], ["out"]),
    ]  # fmt: skip
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants().items()]
    graph = helper.make_graph(
        nodes, "operators", [helper.make_tensor_value_info("given", TensorProto.FLOAT, list(GIVEN.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None),
         *(helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in STEPS)], stored,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(fused, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_what_is_hidden_rounds_to_the_operators_integers() -> None:
    proto = model()
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [*STEPS, "out"]
    found = dict(zip(names, session.run(names, {"given": GIVEN}), strict=True))
    graph = ReadGraph(proto)
    made = {name: graph.maker[name].input[0] for name in STEPS if name != "x"}
    assert graph.real(made.values()) <= {"x", "y", "sum", "soft", "row"}
    every = graph.with_hidden({**found, "row": found["sum"].reshape(2, 15)}, made.values())
    for name, hidden in made.items():
        scale, zero = STEPS[name]
        exact = np.clip(every[hidden] / np.float32(scale) + zero, 0, 255)
        assert np.abs(found[name] - exact).max() <= 0.501, name
        assert found[name].min() > 0 or found[name].max() < 255, "not all is cut off"


def test_what_is_arranged_in_integers_is_arranged_in_numbers() -> None:
    graph = ReadGraph(model())
    product = graph.maker[graph.maker["flat"].input[0]]
    assert (product.op_type, graph.made_by(product.input[0])) == ("Gemm", "Reshape")
    before = graph.maker[product.input[0]].input[0]
    assert (graph.made_by(before), graph.maker[before].input[0]) == ("DequantizeLinear", "sum")


def test_another_scale_of_what_is_arranged_stays_to_be_seen() -> None:
    proto = model()
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(0.07), "other"))
    next(node for node in proto.graph.node if node.op_type == "QGemm").input[1] = "other"
    graph = ReadGraph(proto)
    product = graph.maker[graph.maker["flat"].input[0]]
    back = graph.maker[product.input[0]]
    assert (back.op_type, back.input[1]) == ("DequantizeLinear", "other")
    again = graph.maker[back.input[0]]
    assert (again.op_type, again.input[1]) == ("QuantizeLinear", "sum_scale")
    assert graph.made_by(again.input[0]) == "Reshape"


def test_a_graph_without_operators_is_as_it_is() -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "plain", [value], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    assert list(ReadGraph(onnx.helper.make_model(graph)).nodes) == [node]
