"""Products of halves: what cuBLAS is asked for, computed here as its documentation says."""

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref import backends
from bertref.backends.cupy.products import Products

XP = backends.get("numpy").xp
DTYPES = {0: "float32", 2: "float16", 14: "bfloat16"}
HANDLE = 7


def columns(place: int, dtype: int, rows: int, count: int, leading: int) -> Any:
    """The matrix in column order at an address: `count` columns of `rows` elements, `leading` apart."""
    assert leading >= max(1, rows)
    kind = np.dtype(XP.dtype(DTYPES[dtype]))
    size = ((count - 1) * leading + rows) * kind.itemsize
    memory = (ctypes.c_char * size).from_address(place)
    return np.ndarray((rows, count), kind, memory, strides=(kind.itemsize, leading * kind.itemsize))


class Cublas:
    """C = alpha op(A) op(B) + beta C, all in column order; `asked` is what was called."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def gemmEx(self, *given: Any) -> None:  # noqa: N802
        self.asked.append("gemmEx")
        self.multiply(*given)

    def multiply(
        self, handle: int, op_a: int, op_b: int, m: int, n: int, k: int, alpha: int, a: int, type_a: int, lda: int,
        b: int, type_b: int, ldb: int, beta: int, c: int, type_c: int, ldc: int, compute: int, algorithm: int,
    ) -> None:  # fmt: skip
        assert (handle, compute, algorithm) == (HANDLE, 68, -1)
        scales = [ctypes.c_float.from_address(x).value for x in (alpha, beta)]
        assert scales == [1.0, 0.0]
        left = columns(a, type_a, *((k, m) if op_a else (m, k)), lda).astype(np.float64)
        right = columns(b, type_b, *((n, k) if op_b else (k, n)), ldb).astype(np.float64)
        out = columns(c, type_c, m, n, ldc)
        out[...] = ((left.T if op_a else left) @ (right.T if op_b else right)).astype(np.float32).astype(out.dtype)

    def gemmStridedBatchedEx(  # noqa: N802
        self, handle: int, op_a: int, op_b: int, m: int, n: int, k: int, alpha: int, a: int, type_a: int, lda: int,
        stride_a: int, b: int, type_b: int, ldb: int, stride_b: int, beta: int, c: int, type_c: int, ldc: int,
        stride_c: int, count: int, compute: int, algorithm: int,
    ) -> None:  # fmt: skip
        self.asked.append("gemmStridedBatchedEx")
        size = {0: 4, 2: 2, 14: 2}
        for i in range(count):
            stacks = (a, stride_a, type_a), (b, stride_b, type_b), (c, stride_c, type_c)
            pa, pb, pc = (place + i * stride * size[kind] for place, stride, kind in stacks)
            self.multiply(handle, op_a, op_b, m, n, k, alpha, pa, type_a, lda, pb, type_b, ldb, beta, pc, type_c, ldc,
                          compute, algorithm)  # fmt: skip


def made() -> tuple[Products, Cublas]:
    cublas = Cublas()
    return Products(np, lambda array: int(array.ctypes.data), lambda: cublas, lambda: HANDLE), cublas


def laid_out(array: Any, kind: str) -> Any:
    """The same matrices in memory of another order."""
    if kind == "rows":
        return np.ascontiguousarray(array)
    if kind == "columns":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if kind == "heads" and array.ndim > 2:  # as heads are split
        return np.ascontiguousarray(array.swapaxes(-3, -2)).swapaxes(-3, -2)
    if kind == "turned heads" and array.ndim > 2:
        return laid_out(array.swapaxes(-1, -2), "heads").swapaxes(-1, -2)
    return np.repeat(array, 2, axis=-1)[..., ::2]


LAYOUTS = st.sampled_from(["rows", "columns", "heads", "turned heads", "gaps"])


@settings(max_examples=60)
@given(
    stack=st.lists(st.integers(1, 3), max_size=2), sizes=st.tuples(*[st.integers(1, 5)] * 3),
    layouts=st.tuples(LAYOUTS, LAYOUTS), half=st.sampled_from(["float16", "bfloat16"]), wide=st.booleans(),
    one=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_layout(
    stack: list[int], sizes: tuple[int, int, int], layouts: tuple[str, str], half: str, wide: bool, one: bool, seed: int
) -> None:
    M, K, N = sizes
    rng, dtype = np.random.default_rng(seed), XP.dtype(half)
    a = laid_out(rng.standard_normal((*stack, M, K)).astype(dtype), layouts[0])
    b = laid_out(rng.standard_normal((*([] if one else stack), K, N)).astype(dtype), layouts[1])
    product, cublas = made()
    assert product.serves(a, b)
    found = product(a, b, np.float32 if wide else dtype)
    exact = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    assert (found.shape, found.dtype) == (exact.shape, np.dtype(np.float32 if wide else dtype))
    np.testing.assert_array_equal(found, exact.astype(found.dtype))
    assert cublas.asked == ["gemmEx" if b.ndim == 2 else "gemmStridedBatchedEx"]


def test_nothing_is_copied_that_lies_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[Any] = []
    monkeypatch.setattr(np, "ascontiguousarray", copies.append)
    product, _ = made()
    x = np.ones((2, 3, 4), np.float16)
    product(x, x.swapaxes(-1, -2), np.float16)
    product(x, np.ones((5, 4), np.float16).T, np.float32)
    assert copies == []


@pytest.mark.parametrize(("a", "b"), [
    (np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)),
    (np.ones((2, 3), np.float16), np.ones((3, 2), np.float32)),
    (np.ones((0, 3), np.float16), np.ones((3, 2), np.float16)),
    (np.ones(3, np.float16), np.ones((3, 2), np.float16)),
    (np.ones((4, 2, 3), np.float16), np.ones((1, 3, 2), np.float16)),
])  # fmt: skip
def test_what_is_not_served(a: Any, b: Any) -> None:
    assert not made()[0].serves(a, b)


def test_the_backend_asks_for_halves_in_stacks_and_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy", reason="cupy is not installed")
    backend = pytest.importorskip("bertref.backends.cupy.backend")
    multiplied: list[str] = []

    def matmul(a: Any, b: Any) -> Any:
        multiplied.append(f"{a.dtype} {b.dtype}")
        return np.matmul(a, b)

    monkeypatch.setattr(backend, "standard", SimpleNamespace(matmul=matmul))
    xp = object.__new__(backend.CupyNamespace)
    xp._products, cublas = made()
    half, stack = np.ones((2, 3), np.float16), np.ones((4, 3, 2), np.float16)
    assert xp._matmul(stack, np.ones((4, 2, 3), np.float16)).dtype == np.float16
    assert xp._matmul(stack, half).shape == (4, 3, 3)
    assert xp.product(half, half.T).dtype == np.float32
    assert (cublas.asked, multiplied) == (["gemmStridedBatchedEx", "gemmEx", "gemmEx"], [])
    assert xp._matmul(stack, np.ones((1, 2, 3), np.float16)).dtype == np.float16  # other stacks: in float32
    xp._matmul(half, half.T)
    xp._matmul(stack.astype(np.float32), half)
    assert multiplied == ["float32 float32", "float16 float16", "float32 float16"]
