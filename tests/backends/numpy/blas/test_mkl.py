"""MKL beside NumPy: chosen where it helps, right on every layout, and bits that depend on nothing but the values."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
from hypothesis import given

from bertref.backends.numpy.blas import mkl
from bertref.errors import InputError

from ..kernels.pairs import products_by

INTEL, AMD = {"vendor_id": "GenuineIntel"}, {"vendor_id": "AuthenticAMD"}


@pytest.fixture(scope="module", autouse=True)
def products() -> Iterator[None]:
    """This file is about MKL alone."""
    with products_by("mkl"):
        yield


@pytest.fixture
def afresh() -> Iterator[None]:
    """Nothing has been decided yet, and nothing that the test decides stays."""
    mkl._decided.cache_clear()
    yield
    mkl._decided.cache_clear()


def matrix(rows: int, columns: int, layout: str, dtype: str, seed: int) -> np.ndarray:
    """Random numbers, in one of the ways in which a kernel's matrices lie in memory."""
    x = np.random.default_rng(seed).standard_normal((rows, columns)).astype(dtype)
    if layout == "columns":
        return np.asfortranarray(x)
    if layout == "part of wider rows":
        wide = np.zeros((rows + 1, columns + 3), dtype)
        wide[1:, 2:-1] = x
        return wide[1:, 2:-1]
    if layout == "part of longer columns":
        return matrix(columns, rows, "part of wider rows", dtype, seed).T
    return x


LAYOUTS = ["rows", "columns", "part of wider rows", "part of longer columns"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(
    sizes=st.tuples(*[st.integers(1, 40)] * 3), seed=st.integers(0, 99), threads=st.integers(1, 3),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS), st.sampled_from(["rows", LAYOUTS[2]])),
)  # fmt: skip
def test_products(
    dtype: str, sizes: tuple[int, int, int], seed: int, threads: int, layouts: tuple[str, str, str]
) -> None:
    N, K, M = sizes
    a, b = matrix(N, K, layouts[0], dtype, seed), matrix(K, M, layouts[1], dtype, seed + 1)
    check_product(lambda out: mkl.multiply(a, b, out, threads), a, b, matrix(N, M, layouts[2], dtype, seed + 2))


def check_product(make: Callable[[np.ndarray], bool], a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """`make(out)` puts a b there and nothing anywhere else."""
    wide = np.longdouble if out.dtype == np.float64 else np.float64
    around = None if out.base is None else out.base.copy()
    assert make(out)
    exact = a.astype(wide) @ b.astype(wide)
    bound = np.abs(a.astype(wide)) @ np.abs(b.astype(wide))
    assert np.all(np.abs(out - exact) <= (a.shape[1] + 1) * np.finfo(out.dtype).eps * bound)
    if around is not None:  # what lies between the rows is as it was
        around[1:, 2:-1] = out
        np.testing.assert_array_equal(out.base, around)


def test_nan_and_infinity_stay_in_their_rows() -> None:
    check_rows_apart(lambda a, out: mkl.multiply(a, np.ones((4, 2), np.float32), out, 1))


def check_rows_apart(make: Callable[[np.ndarray, np.ndarray], bool]) -> None:
    """`make(a, out)` multiplies a (3, 4) by ones (4, 2); what is odd in one row does not reach another."""
    a = np.ones((3, 4), np.float32)
    a[0, 1], a[1, 2] = np.nan, np.inf
    out = np.full((3, 2), np.nan, np.float32)  # the old content counts for nothing
    assert make(a, out)
    np.testing.assert_array_equal(out, np.array([[np.nan] * 2, [np.inf] * 2, [4, 4]], np.float32))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("view", [
    lambda x: x[::-1],
    lambda x: x[:, ::-1],
    lambda x: np.broadcast_to(x[:1], x.shape),
    lambda x: np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2],
    lambda x: np.lib.stride_tricks.as_strided(x, x.shape, (4 * (x.shape[1] - 1), 4)),
])  # fmt: skip
def test_what_blas_can_not_read_is_left_alone(which: int, view: Any) -> None:
    factors = [np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)]
    factors[which] = view(factors[which])
    out = np.full((4, 4), 7, np.float32)
    assert not mkl.multiply(*factors, out, 1)
    assert (out == 7).all()


def test_a_result_in_columns_is_left_alone() -> None:
    out = np.full((4, 4), 7, np.float32, order="F")
    assert not mkl.multiply(np.ones((4, 4), np.float32), np.ones((4, 4), np.float32), out, 1)
    assert (out == 7).all()


@pytest.mark.parametrize("sizes", [(0, 3, 3), (3, 0, 3), (3, 3, 0)])
def test_nothing_to_sum(sizes: tuple[int, int, int]) -> None:
    N, K, M = sizes
    assert not mkl.multiply(np.ones((N, K), np.float32), np.ones((K, M), np.float32), np.ones((N, M), np.float32), 1)


def displaced(x: np.ndarray, by: int) -> np.ndarray:
    """The same, so many bytes from a multiple of 64."""
    memory = np.empty(x.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + by
    copy = memory[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@pytest.mark.parametrize(
    ("N", "K", "M"), [(17, 3072, 768), (64, 4000, 64), (128, 768, 768), (5, 70, 33), (300, 512, 2)]
)
def test_bits_depend_on_values_alone(N: int, K: int, M: int) -> None:
    """The first two are such that MKL by itself would let its threads share the sums."""
    a, b = matrix(N, K, "rows", "float32", 1), matrix(M, K, "rows", "float32", 2).T
    first = np.empty((N, M), np.float32)
    assert mkl.multiply(a, b, first, 1)
    for threads, offset in ((2, 0), (3, 4), (1, 20), (2, 32), (5, 60)):
        again = displaced(first, offset)
        assert mkl.multiply(displaced(a, offset), displaced(b.T, 64 - offset).T, again, threads)
        np.testing.assert_array_equal(again.view(np.int32), first.view(np.int32))


@pytest.mark.parametrize("instructions", ["SSE4_2", "AVX2", "AVX512"])
def test_so_they_do_in_mkls_code_for_other_processors(instructions: str) -> None:
    """On an Intel processor MKL can be had to take the code for an older one; on others it takes its own."""
    code = """
import numpy as np
from bertref.backends.numpy.blas import frozen, mkl

def bits(N, K, M, dtype, threads):
    rng = np.random.default_rng(1)
    x, weight, out = (rng.standard_normal(shape).astype(dtype) for shape in ((N, K), (M, K), (N, M)))
    assert mkl.multiply(x, weight.T, out, threads)
    found = [out.tobytes()]
    if dtype == "float32":
        frozen.freeze([weight])
        assert frozen.multiply(x, weight, out, threads)
        found.append(out.tobytes())
    return found

SIZES = [(1, 300, 2), (3, 300, 128), (5, 70, 33), (5, 128, 64), (5, 512, 17), (8, 17, 33), (17, 33, 512)]
for sizes in SIZES:
    for dtype in ("float32", "float64"):
        first, *others = [bits(*sizes, dtype, threads) for threads in (1, 2, 3)]
        assert all(other == first for other in others), (sizes, dtype)
print(mkl.shares_products())
"""
    environment = {"BERTREF_MKL": "on", "MKL_ENABLE_INSTRUCTIONS": instructions, "MKL_DYNAMIC": "FALSE"}
    assert in_a_process(code, **environment).strip() in ("True", "False")


@pytest.mark.parametrize(("branch", "shared"), [(2, False), (8, False), (10, True), (12, True), (14, True)])
def test_where_the_threads_would_change_bits_a_product_has_one(
    monkeypatch: pytest.MonkeyPatch, branch: int, shared: bool
) -> None:
    """MKL says itself which code it chose: 2 is what it says on AMD's processors, 8 is SSE 4.2, 10 AVX2."""
    told: list[int] = []
    blas = SimpleNamespace(
        MKL_CBWR_Get_Auto_Branch=lambda: branch, MKL_Set_Num_Threads_Local=told.append,
        cblas_sgemm_pack_get_size=lambda *_: 100,
        **dict.fromkeys(("cblas_sgemm", "cblas_sgemm_pack", "cblas_sgemm_compute"), lambda *_: None),
    )  # fmt: skip
    monkeypatch.setattr(mkl, "library", lambda: blas)
    monkeypatch.setattr(mkl, "_strict", mkl._strict.__wrapped__)
    x = np.ones((4, 4), np.float32)
    assert mkl.shares_products() is shared
    assert mkl.multiply(x, x, np.empty_like(x), 3)
    ordered = mkl.in_order(x)
    assert ordered is not None
    assert mkl.multiply_ordered(x, ordered, np.empty_like(x), 3)
    assert told == ([3, 2, 3] if shared else [1, 1, 1])


def test_many_threads_may_ask_at_once() -> None:
    a = matrix(200, 200, "rows", "float64", 1)
    results = [np.empty((200, 200)) for _ in range(8)]
    asked = [threading.Thread(target=mkl.multiply, args=(a, a, out, 1 + i % 2)) for i, out in enumerate(results)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    for out in results[1:]:
        np.testing.assert_array_equal(out, results[0])


def test_the_error_function() -> None:
    """Within an ulp, in its argument's place, too."""
    x = np.concatenate([np.linspace(-5, 5, 701), [0.0, 1e-45, -1e-20, 1e-39, 3e38, -3e38]]).astype(np.float32)
    found, given = np.empty_like(x), x.copy()
    assert mkl.erf(x, found, 1)
    with mpmath.workdps(60):
        true = np.array([float(mpmath.erf(float(v))) for v in x])
    assert np.all(np.abs(found - true) <= np.spacing(np.abs(true).astype(np.float32)))
    assert mkl.erf(given, given, 1)
    np.testing.assert_array_equal(given, found)
    odd = np.array([np.inf, -np.inf, np.nan, -0.0], np.float32)
    out = np.empty_like(odd)
    assert mkl.erf(odd, out, 1)
    np.testing.assert_array_equal(out, np.array([1, -1, np.nan, 0], np.float32))


def test_the_low_accuracy_of_mkl_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mkl, "_ACCURATE", 3)  # VML_EP
    with pytest.raises(AssertionError):
        test_the_error_function()


def test_the_error_function_is_the_same_everywhere_in_an_array() -> None:
    x = matrix(1, 1000, "rows", "float32", 3)[0] * 3 - 2
    whole = np.empty_like(x)
    assert mkl.erf(x, whole, 1)
    for start, threads in ((1, 1), (7, 2), (16, 1), (999, 3)):
        part = np.empty_like(x[start:])
        assert mkl.erf(x[start:], part, threads)
        np.testing.assert_array_equal(part.view(np.int32), whole[start:].view(np.int32))


@pytest.mark.parametrize(("said", "processor", "wanted"), [
    ("", INTEL, True), ("", AMD, False), ("", {}, False), ("on", AMD, True), ("ON", {}, True), ("off", INTEL, False),
])  # fmt: skip
def test_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, said: str, processor: dict[str, str], wanted: bool
) -> None:
    monkeypatch.setenv(mkl.VARIABLE, said)
    monkeypatch.setattr(mkl, "first_processor", lambda: processor)
    assert mkl.wanted() is wanted


@pytest.mark.usefixtures("afresh")
def test_what_is_neither_on_nor_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mkl.VARIABLE, "yes")
    with pytest.raises(InputError, match="BERTREF_MKL=yes: say on or off"):
        mkl.library()
    assert mkl.problem().startswith("BERTREF_MKL=yes: ")


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize(("said", "processor"), [("on", AMD), ("off", INTEL), ("", AMD)])
def test_no_problem(monkeypatch: pytest.MonkeyPatch, said: str, processor: dict[str, str]) -> None:
    monkeypatch.setenv(mkl.VARIABLE, said)
    monkeypatch.setattr(mkl, "first_processor", lambda: processor)
    assert mkl.problem() == ""


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize(("content", "cause"), [
    (None, "MKL is not installed: pip install 'bertref\\[mkl\\]'"), (b"no library", "can't be used"),
])  # fmt: skip
def test_a_missing_or_broken_mkl(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, cause: str
) -> None:
    """Whoever asked for it is told; whoever did not gets NumPy's products."""
    if content is not None:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "libmkl_rt.so.3").write_bytes(content)
    monkeypatch.setattr(mkl.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(mkl.site, "getuserbase", lambda: str(tmp_path / "nobody"))
    with pytest.raises(InputError, match=cause):
        mkl.library()
    assert mkl.problem().startswith("BERTREF_MKL=on, but ")
    monkeypatch.setenv(mkl.VARIABLE, "")
    monkeypatch.setattr(mkl, "first_processor", lambda: INTEL)
    assert mkl.library() is None
    assert re.search(cause, mkl.problem())
    assert not mkl.multiply(*[np.ones((2, 2), np.float32)] * 2, np.ones((2, 2), np.float32), 1)


def test_a_library_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mkl, "path", lambda: mkl.Path("libc.so.6"))
    found, why = mkl._load()
    assert found is None
    assert "can't be used" in why


def test_two_threads_that_come_first() -> None:
    """Both get the library: the second one does not find it used already."""
    code = """
import threading
import numpy as np
from bertref.backends.numpy.blas import mkl
a = np.ones((64, 64), np.float32)
start, made = threading.Barrier(8), []
def ask():
    out = np.empty_like(a)
    start.wait()
    made.append(mkl.multiply(a, a, out, 1))
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(all(made), mkl._decided.cache_info().misses)
"""
    assert in_a_process(code, BERTREF_MKL="on").split() == ["True", "1"]


def in_a_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("before", ["", "products.multiply(a, a, out, 2)"])
def test_a_forked_process_multiplies_too(before: str) -> None:
    """By MKL if that is new to it; else its threads are not in the process, and NumPy does it."""
    code = f"""
import os
import numpy as np
from bertref.backends.numpy.blas import mkl, products
a = np.ones((300, 300), np.float32)
out = np.empty_like(a)
{before}
child = os.fork()
if child == 0:
    out[...] = 0
    products.multiply(a, a, out, 2)
    os._exit((out == 300).all() + 2 * (mkl.library() is not None))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert in_a_process(code, BERTREF_MKL="on").strip() == ("1" if before else "3")


def test_it_is_not_loaded_for_nothing() -> None:
    """Neither by an import, nor by a product that is too small for it to matter."""
    code = """
import numpy as np
from bertref import backends
from bertref.backends.numpy.blas import mkl
from bertref.backends.numpy.kernels import dense
x = np.ones((4, 4), np.float32)
dense.forward(None, x, x, None, gradients=False)
print(mkl._decided.cache_info().currsize)
"""
    assert in_a_process(code, BERTREF_MKL="on").strip() == "0"
