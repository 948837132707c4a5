"""The recording namespace by itself: each function, recorded and run, against NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import backends
from bertref.onnx_export import file
from bertref.onnx_export.graph import Length, OnnxGraph, OnnxValue
from bertref.onnx_export.namespace import RecordingNamespace
from bertref.onnx_export.recorded import Recorded

B, S = Length(("batch",)), Length(("sequence",))
NUMPY = backends.get("numpy").xp

FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda xp, x, y: x + y,
    "add a number": lambda xp, x, y: 3 + x + 0.25,
    "subtract": lambda xp, x, y: x - y,
    "subtract from a number": lambda xp, x, y: 1 - x - 2.5,
    "multiply": lambda xp, x, y: 2 * (x * y) * 0.5,
    "divide": lambda xp, x, y: 1 / (x / (xp.abs(y) + 1) + 10) / 3,
    "negate": lambda xp, x, y: -x,
    "less": lambda xp, x, y: xp.astype(x < y, x.dtype),
    "greater": lambda xp, x, y: xp.astype(x > 0, x.dtype),
    "equal": lambda xp, x, y: xp.astype(xp.maximum(x, 0) == 0, x.dtype),
    "two types": lambda xp, x, y: y * xp.astype(x, np.dtype("float64")) + xp.maximum(x, 0),
    "exp": lambda xp, x, y: xp.exp(x),
    "sqrt": lambda xp, x, y: xp.sqrt(xp.abs(x)),
    "tanh": lambda xp, x, y: xp.tanh(x),
    "erf": lambda xp, x, y: xp.erf(x),
    "maximum": lambda xp, x, y: xp.maximum(x, y),
    "minimum": lambda xp, x, y: xp.minimum(x, 0.5),
    "where": lambda xp, x, y: xp.where(x > y, x, 7.0),
    "where, full": lambda xp, x, y: xp.where(x > 0, xp.full_like(x, 3), y) + xp.zeros_like(x) + xp.ones_like(x),
    "max": lambda xp, x, y: xp.max(x, axis=-1, keepdims=True),
    "sum": lambda xp, x, y: xp.sum(x, axis=1),
    "mean": lambda xp, x, y: xp.mean(x, axis=0),
    "take": lambda xp, x, y: xp.take(x, xp.from_numpy(np.array([2, 0, 2])), axis=-1),
    "take all": lambda xp, x, y: xp.take(x, xp.arange(x.shape[0]), axis=0),
    "matmul": lambda xp, x, y: xp.matmul(x, xp.matrix_transpose(y)),
    "permute_dims": lambda xp, x, y: xp.permute_dims(x, (2, 0, 1)),
    "broadcast_to": lambda xp, x, y: xp.broadcast_to(xp.sum(x, axis=0, keepdims=True), x.shape),
    "reshape, in place": lambda xp, x, y: xp.reshape(x, (x.shape[0], x.shape[1], 2, 2)),
    "reshape, together": lambda xp, x, y: xp.reshape(x, (x.shape[0] * x.shape[1], 4)),
    "reshape, apart": lambda xp, x, y: xp.reshape(
        xp.permute_dims(xp.reshape(x, (x.shape[0] * x.shape[1], 4)), (1, 0)), (2, x.shape[1], 2, x.shape[0])
    ),
}


def recorded(function: Callable[[Any, Any, Any], Any], dtype: str, path: Path) -> tuple[Any, Recorded]:
    """The function of two arrays (B, S, 4) as a session, and its recorded result."""
    graph = OnnxGraph()
    x, y = (Recorded(graph, graph.input(name, (B, S, 4), dtype)) for name in "xy")
    result = function(RecordingNamespace(graph), x, y)
    if result.name == "x":
        result = result + 0
    outputs = {"result": OnnxValue(result.name, result.shape, result.dtype)}
    file.write(path, graph, outputs, {}, {}, ("test", "0"))
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_numpys(name: str, dtype: str, tmp_path: Path) -> None:
    session, result = recorded(FUNCTIONS[name], dtype, tmp_path / "f.onnx")
    random = np.random.default_rng(0)
    for batch, sequence in ((2, 3), (1, 1), (5, 2)):
        x, y = (random.standard_normal((batch, sequence, 4)).astype(dtype) for _ in "xy")
        want = FUNCTIONS[name](NUMPY, x, y)
        got = session.run(None, {"x": x, "y": y} if len(session.get_inputs()) == 2 else {"x": x})[0]
        sizes = {B: batch, S: sequence, B * S: batch * sequence}
        assert got.shape == want.shape == tuple(sizes.get(dim, dim) for dim in result.shape)
        assert got.dtype == want.dtype == result.dtype
        rtol, atol = (1e-5, 1e-6) if dtype == "float32" else (1e-13, 1e-15)
        np.testing.assert_allclose(got, want, rtol, atol)


@given(st.permutations(["x", "y", 2.0, 0.5]), st.lists(st.sampled_from("+-*"), min_size=3, max_size=3))
def test_what_was_recorded_is_not_recorded_again(operands: list[Any], signs: list[str]) -> None:
    def formula(arrays: dict[str, Any]) -> Any:
        total, *others = [arrays.get(operand, operand) for operand in operands]
        for sign, other in zip(signs, others, strict=True):
            total = total + other if sign == "+" else total - other if sign == "-" else total * other
        return total

    graph = OnnxGraph()
    arrays = {name: Recorded(graph, graph.input(name, (B, 4), "float32")) for name in "xy"}
    first = formula(arrays)
    count = len(graph.nodes)
    assert formula(arrays).name == first.name
    assert len(graph.nodes) == count


def test_what_no_output_needs_is_left_out() -> None:
    graph = OnnxGraph()
    x = Recorded(graph, graph.input("x", (B, 4), "float32"))
    y = x + 1
    _ = y * 2
    assert [node.op for node in graph.needed([y.name])[0]] == ["Add"]


@pytest.fixture
def x() -> Recorded:
    graph = OnnxGraph()
    return Recorded(graph, graph.input("x", (B, S, 4), "float32"))


def test_nothing_branches_on_values(x: Recorded) -> None:
    with pytest.raises(TypeError, match="can't decide"):
        bool(x > 0)
    with pytest.raises(TypeError):
        hash(x)


def test_shapes_that_do_not_fit(x: Recorded) -> None:
    xp = RecordingNamespace(x.graph)
    with pytest.raises(ValueError, match="can't become"):
        xp.reshape(x, (S, 4))
    with pytest.raises(ValueError, match="can't become"):
        xp.reshape(x, (B, S, 2, 3))
    with pytest.raises(ValueError, match="broadcast"):
        x + xp.permute_dims(x, (1, 0, 2))
    with pytest.raises(ValueError, match="multiplied"):
        xp.matmul(x, x)


def test_what_forward_passes_do_not_need_is_not_there(x: Recorded) -> None:
    with pytest.raises(AttributeError, match="argsort"):
        _ = RecordingNamespace(x.graph).argsort
    with pytest.raises(LookupError, match="depth"):
        RecordingNamespace(x.graph).arange(Length(("depth",)))
