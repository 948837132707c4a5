"""Arrays of more than 2³¹ elements: a kernel's last block, run alone on memory that is there where it is touched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.backends.cupy.kernels.device import Shape

from . import on_cpu

FAR = 2**31 + 2**20
H = 1024
ROWS = FAR // H
last = slice(ROWS - 64, ROWS)


class Sparse:
    """Arrays in files with holes, filled with zeros."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, 0

    def __call__(self, rows: int, width: int, dtype: Any = np.float16) -> Any:
        self.made += 1
        return np.memmap(self.folder / f"{self.made}", dtype, "w+", shape=(rows, width)).view(np.ndarray)


@pytest.fixture
def sparse(tmp_path: Path) -> Any:
    return Sparse(tmp_path)


def run_last(file: str, kernel: str, shape: Shape, *arguments: Any) -> None:
    library = on_cpu.library_of(file)
    end = shape.blocks[0] * shape.blocks[1]
    number = library.find_kernel(kernel.encode())
    on_cpu.check_kinds(library.kinds_of(number).decode().split(), arguments, kernel)
    on_cpu.run(library, number, shape, list(arguments), 0, (end - 1, end))


def filled(array: Any, seed: int = 1) -> Any:
    array[last] = np.random.default_rng(seed).normal(size=array[last].shape)
    return array


def test_norm(sparse: Any) -> None:
    x, y = filled(sparse(ROWS, H)), sparse(ROWS, H)
    gamma, beta = np.ones(H, np.float16), np.zeros(H, np.float16)
    numbers = np.int64(H), np.float32(1), np.float32(1e-12)
    run_last("norm", "norm<__half, 8>", Shape((ROWS, 1), (128, 1)), x, None, None, gamma, beta, y, None, None, *numbers)
    row = x[-1].astype(np.float64)
    np.testing.assert_allclose(y[-1].astype(np.float64), (row - row.mean()) / row.std(), atol=2e-3)
    assert not y[-2].any()


def test_gelu_and_the_sums_of_columns(sparse: Any) -> None:
    x, dx = filled(sparse(ROWS, H)), sparse(ROWS, H)
    parts, sums = (sparse(60000, H, np.float32) for _ in range(2))
    rows, numbers = ROWS - ROWS * 59999 // 60000, (np.int64(ROWS), np.int64(H))
    bias = np.full(H, 10, np.float16)
    shape = Shape((1, 60000), (128, 1))
    run_last("gelu", "bias_gelu_back<__half, __half, 8>", shape, x, x, bias, dx, parts, *numbers, np.int32(0))
    expected = x[-rows:].astype(np.float64)  # the slope at 10 is 1
    np.testing.assert_allclose(dx[-rows:].astype(np.float64), expected, atol=1e-3)
    np.testing.assert_allclose(parts[-1], expected.sum(axis=0), atol=1e-3)
    run_last("column_sum", "column_sum<__half, 8>", Shape((4, 60000), (32, 16)), x, None, sums, *numbers)
    np.testing.assert_allclose(sums[-1, 768:], expected[:, 768:].sum(axis=0), atol=1e-3)


def test_softmax(sparse: Any) -> None:
    S = 512
    rows = FAR // S
    x, mask = sparse(rows, S), np.ones((1, S), bool)
    x[-4:] = np.random.default_rng(2).normal(size=(4, S))
    expected = np.exp(x[-4:].astype(np.float64))
    numbers = np.int64(rows), np.int64(rows), np.int32(S), np.float32(1), np.float32(-1e4), np.float32(1)
    shape = Shape((-(-rows // 4), 1), (32, 4))
    run_last("softmax", "softmax<__half, 4, 16>", shape, x, mask, None, None, *numbers)
    np.testing.assert_allclose(x[-4:], expected / expected.sum(axis=1, keepdims=True), rtol=2e-3, atol=1e-6)


def test_cross_entropy(sparse: Any) -> None:
    V = 30522
    N = FAR // V
    x, bias, labels = sparse(N, V), np.zeros(V, np.float16), np.full(N, V - 1)
    losses, predicted, factors = np.zeros(N, np.float32), np.zeros(N, np.int64), np.ones(N, np.float32)
    x[-1, 7] = 20
    shape = Shape((N, 1), (512, 1))
    arguments = x, bias, labels, factors, losses, predicted, np.int64(V)
    run_last("cross_entropy", "cross_entropy<__half, 2>", shape, *arguments)
    assert predicted[-1] == 7
    assert losses[-1] == pytest.approx(np.log(np.exp(20.0) + V - 1), rel=1e-5)
    assert x[-1, -1] == -1


def test_rows(sparse: Any) -> None:
    table, y = filled(sparse(ROWS, H)), sparse(2, H)
    shape = Shape((2, 1), (128, 1))
    run_last("rows", "gather_rows<__half, 8>", shape, table, np.array([0, ROWS - 3]), None, y, np.int64(H))
    np.testing.assert_array_equal(y[1], table[-3])
