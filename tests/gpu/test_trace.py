"""The table of a step, from a trace whose figures are known."""

import numpy as np
import pytest

from . import trace, traffic

TRACE = {"traceEvents": [
    {"ph": "X", "cat": "kernel", "ts": 100, "dur": 40, "name": "void norm<float, 8>(float const*, int)"},
    {"ph": "X", "cat": "kernel", "ts": 150, "dur": 20, "name": "sm90_xmma_gemm_bf16bf16_bf16f32"},
    {"ph": "X", "cat": "gpu_memcpy", "ts": 160, "dur": 20, "name": "Memcpy HtoD (Pageable -> Device)"},
    {"ph": "X", "cat": "kernel", "ts": 200, "dur": 40, "name": "void norm<float, 8>(float const*, int)"},
    {"ph": "X", "cat": "kernel", "ts": 260, "dur": 40, "name": "adam(float*, float const*)"},
    {"ph": "X", "cat": "cpu_op", "ts": 0, "dur": 900, "name": "aten::mm"},
    {"ph": "f", "cat": "kernel", "ts": 1, "name": "no event"},
]}  # fmt: skip


def test_the_table() -> None:
    events = trace.read(TRACE, trace.ON_GPU)
    launched = {"norm<float,8>": [80_000, 80_000], "adam": [1, 2]}
    found = trace.table(events, launched, 2, 40_000_000, {"copies": 4.0, "bfloat16": 8.0})
    assert (found["step_us"], found["busy_us"], found["launches"]) == (100.0, 75.0, 2.5)
    assert found["idle"] == pytest.approx(0.25)
    assert (found["product_us"], found["product_tflop_s"], found["of_products"]) == (10.0, 4.0, 0.5)
    norm, adam, *_ = found["rows"]
    assert norm == {"name": "norm<float,8>", "calls": 1.0, "us": 40.0, "gb_s": 2.0, "of_copies": 0.5}
    assert adam == {"name": "adam", "calls": 0.5, "us": 20.0}  # launched another number of times than was recorded
    first, second = trace.lines([found])[:2]
    assert first == "a step: 0.1 ms, idle 25%, 2 launches; products 0.0 ms, 4 TFLOP/s, 50% of the chip's"
    assert second.split() == ["40", "us", "1", "x", "2", "GB/s", "50%", "norm<float,8>"]


@pytest.mark.parametrize(("name", "short"), [
    ("void bias_gelu<float, __nv_bfloat16, 8>(float const*, long long)", "bias_gelu<float,__nv_bfloat16,8>"),
    ("void softmax<float, (int)4, (int)16>(float*)", "softmax<float,4,16>"),
    ("total(float const*, float*, int)", "total"),
    ("void (anonymous namespace)::f<int>(int)", "(anonymousnamespace)::f<int>"),
    ("cupy_add__float32", "cupy_add__float32"),
])  # fmt: skip
def test_names(name: str, short: str) -> None:
    assert trace.short(name) == short


def test_bytes_of_a_launch() -> None:
    x, half = np.zeros((4, 8), np.float32), np.zeros((4, 8), np.float16)
    number = np.zeros((), np.float32)
    assert traffic.moved("norm<float, 8>", (x, None, x, np.int64(8))) == 2 * x.nbytes
    assert traffic.moved("adam", (x, x, x, x, number, number, number, np.int64(32))) == 7 * x.nbytes
    assert traffic.moved("softmax<__half, 4, 4>", (half, None, None, None)) == 2 * half.nbytes
    table, index = np.zeros((1000, 8), np.float32), np.zeros(4, np.int64)
    assert traffic.moved("gather_rows<float, 8>", (table, index, None, x, np.int64(8))) == 2 * x.nbytes + index.nbytes
