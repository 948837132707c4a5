"""Weights in MKL's own order: right, used where they should be, and never after they have changed."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref import api
from bertref.backends.numpy.blas import frozen
from bertref.backends.numpy.kernels import dense

from ....checkpoint.test_folder import make
from ..kernels.pairs import products_by
from .test_mkl import LAYOUTS, check_product, check_rows_apart, in_a_process, matrix


@pytest.fixture(scope="module", autouse=True)
def products() -> Iterator[None]:
    """This file is about MKL alone."""
    with products_by("mkl"):
        yield


def weight_of(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    weight = matrix(rows, columns, "rows", "float32", seed)
    frozen.freeze([weight])
    return weight


def product(x: np.ndarray, weight: np.ndarray, threads: int = 1) -> np.ndarray:
    out = np.full((x.shape[0], weight.shape[0]), np.nan, np.float32)
    assert frozen.multiply(x, weight, out, threads)
    return out


@given(
    sizes=st.tuples(*[st.integers(1, 300)] * 3), seed=st.integers(0, 99), threads=st.integers(1, 3),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(["rows", LAYOUTS[2]])),
)  # fmt: skip
def test_products(sizes: tuple[int, int, int], seed: int, threads: int, layouts: tuple[str, str]) -> None:
    N, I, O = sizes  # noqa: E741
    x, weight = matrix(N, I, layouts[0], "float32", seed), weight_of(O, I, seed + 1)
    out = matrix(N, O, layouts[1], "float32", seed + 2)
    check_product(lambda out: frozen.multiply(x, weight, out, threads), x, weight.T, out)


def test_nan_and_infinity_stay_in_their_rows() -> None:
    weight = np.ones((2, 4), np.float32)
    frozen.freeze([weight])
    check_rows_apart(lambda x, out: frozen.multiply(x, weight, out, 1))


@pytest.mark.parametrize(("N", "O", "I"), [(17, 768, 3072), (128, 768, 768), (5, 33, 70), (300, 2, 512)])
def test_bits_depend_on_values_alone(N: int, O: int, I: int) -> None:  # noqa: E741
    """On how many threads there are, or put the weight in order, they don't."""
    x = matrix(N, I, "rows", "float32", 3)
    first = product(x, weight_of(O, I))
    for ordering, threads in ((1, 2), (2, 1), (3, 5)):
        weight = weight_of(O, I)
        product(x[:1], weight, ordering)
        np.testing.assert_array_equal(product(x, weight, threads).view(np.int32), first.view(np.int32))


def test_many_threads_may_ask_at_once() -> None:
    x, weight = matrix(50, 200, "rows", "float32", 3), weight_of(300, 200)
    results: list[np.ndarray] = []
    asked = [threading.Thread(target=lambda: results.append(product(x, weight))) for _ in range(8)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert len(results) == 8
    for out in results:
        np.testing.assert_array_equal(out, results[0])


def test_a_weight_that_changed_is_not_taken_for_what_it_was() -> None:
    x, weight = matrix(5, 20, "rows", "float32", 3), weight_of(30, 20)
    product(x, weight)
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 7
    weight.flags.writeable = True
    weight *= 2
    assert not frozen.multiply(x, weight, np.empty((5, 30), np.float32), 1)
    frozen.freeze([weight])
    np.testing.assert_allclose(product(x, weight), x @ weight.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_only_what_was_frozen_and_can_be_read(layout: str) -> None:
    x, out = matrix(5, 20, "rows", "float32", 3), np.empty((5, 30), np.float32)
    weight = matrix(30, 20, "rows", "float32", 1)
    assert not frozen.multiply(x, weight, out, 1)
    frozen.freeze([weight])
    assert frozen.multiply(x, weight, out, 1)
    assert not frozen.multiply(x, weight[:], out, 1)  # a view may be of anything
    other = matrix(30, 20, layout, "float32", 1)
    frozen.freeze([other])
    assert frozen.multiply(x, other, out, 1) == (layout == "part of wider rows")
    double = weight.astype("float64")
    frozen.freeze([double])
    assert not frozen.multiply(x.astype("float64"), double, out.astype("float64"), 1)


def test_what_was_kept_goes_with_the_weight() -> None:
    gc.collect()
    before = set(frozen._weights)
    weight = weight_of(30, 20)
    product(matrix(5, 20, "rows", "float32", 3), weight)
    assert set(frozen._weights) - before == {id(weight)}
    del weight
    gc.collect()
    assert set(frozen._weights) <= before


@pytest.mark.parametrize(("gradients", "rows", "used"), [(False, 5, True), (False, 600, False), (True, 5, False)])
def test_dense_layers_use_it_for_few_rows_and_no_gradients(gradients: bool, rows: int, used: bool) -> None:
    x, weight, bias = matrix(rows, 20, "rows", "float32", 3), weight_of(30, 20), np.ones(30, np.float32)
    y, _ = dense.forward(None, x, weight, bias, gradients=gradients)  # type: ignore[arg-type]
    np.testing.assert_allclose(y, x @ weight.T + 1, rtol=1e-4, atol=1e-5)
    assert (frozen._weights[id(weight)].ordered is not None) == used


def test_a_loaded_model(tmp_path: Path) -> None:
    """The same answers within rounding, and to the bit when it is asked again."""
    folder = tmp_path / "model"
    make(folder)
    plain, kept = api.load(folder, freeze=False), api.load(folder)
    assert all(array.flags.writeable for array in plain.params.values())
    assert not any(array.flags.writeable for array in kept.params.values())
    first = kept.encode(["one two three"])
    query = kept.params["bert.encoder.layer.0.attention.self.query.weight"]
    assert frozen._weights[id(query)].ordered is not None
    np.testing.assert_array_equal(kept.encode(["one two three"]), first)
    np.testing.assert_allclose(first, plain.encode(["one two three"]), rtol=1e-4, atol=1e-5)


def test_a_forked_process_leaves_it_to_numpy() -> None:
    code = """
import os
import numpy as np
from bertref.backends.numpy.blas import frozen
from bertref.backends.numpy.kernels import dense
weight, x, out = np.ones((300, 300), np.float32), np.ones((20, 300), np.float32), np.zeros((20, 300), np.float32)
frozen.freeze([weight])
assert frozen.multiply(x, weight, out, 1)
child = os.fork()
if child == 0:
    y, _ = dense.forward(None, x, weight, None, gradients=False)
    os._exit((y == 300).all() + 2 * frozen.multiply(x, weight, out, 1))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert in_a_process(code, BERTREF_MKL="on").strip() == "1"
