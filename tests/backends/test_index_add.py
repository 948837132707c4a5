"""index_add against exact sums; duplicates, nothing to add, and equality from run to run."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref.backends import Backend


def _exact(x: np.ndarray, index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sums without any rounding, rounded once at the end."""
    terms = [[row] for row in x.reshape(len(x), math.prod(x.shape[1:])).astype(np.float64)]
    for row, value in zip(index, values.reshape(len(values), math.prod(x.shape[1:])), strict=True):
        terms[row].append(value.astype(np.float64))
    sums = [[math.fsum(column) for column in np.stack(row, axis=1)] for row in terms]
    return np.array(sums).reshape(x.shape)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 6), count=st.integers(0, 40),
       tail=st.sampled_from([(), (1,), (3,), (2, 3), (300,)]), dtype=st.sampled_from(["float32", "float64"]),
       ids=st.sampled_from([np.int32, np.int64]))  # fmt: skip
def test_equals_exact_sums(
    backend: Backend, seed: int, rows: int, count: int, tail: tuple[int, ...], dtype: str, ids: type
) -> None:
    rng, xp = np.random.default_rng(seed), backend.xp
    x = rng.standard_normal((rows, *tail)).astype(dtype)
    values = (rng.standard_normal((count, *tail)) * 10.0 ** rng.integers(-3, 4)).astype(dtype)
    index = rng.integers(0, rows, count).astype(ids)
    before = x.copy(), values.copy()
    given_x = xp.from_numpy(x)
    got = xp.to_numpy(xp.index_add(given_x, xp.from_numpy(index), xp.from_numpy(values)))
    assert got.dtype == x.dtype
    scale = np.abs(x) + _exact(np.zeros_like(x), index, np.abs(values))
    wrong = np.abs(got - _exact(x, index, values)) / np.where(scale == 0, 1, scale)
    assert wrong.max(initial=0) <= (count + 1) * np.finfo(dtype).eps / 2
    np.testing.assert_array_equal(xp.to_numpy(given_x), before[0])
    np.testing.assert_array_equal(values, before[1])


def test_only_the_named_rows_change(backend: Backend) -> None:
    xp = backend.xp
    x = np.arange(12, dtype=np.float64).reshape(4, 3)
    got = xp.index_add(xp.from_numpy(x), xp.from_numpy(np.array([2, 0, 2])), xp.from_numpy(np.full((3, 3), 10.0)))
    np.testing.assert_array_equal(xp.to_numpy(got) - x, np.array([[10] * 3, [0] * 3, [20] * 3, [0] * 3]))


def test_the_result_is_a_new_array_even_when_nothing_is_added(backend: Backend) -> None:
    xp = backend.xp
    x = xp.from_numpy(np.ones((2, 3)))
    got = xp.index_add(x, xp.from_numpy(np.zeros(0, np.int64)), xp.from_numpy(np.zeros((0, 3))))
    np.testing.assert_array_equal(xp.to_numpy(got), np.ones((2, 3)))
    assert got is not x
    if backend.name != "strict":  # it has no item assignment through views of one buffer to speak of
        got[0, 0] = 7.0
        assert float(x[0, 0]) == 1


@pytest.mark.parametrize("width", [3, 300])
def test_bit_equal_from_run_to_run(backend: Backend, width: int) -> None:
    rng, xp = np.random.default_rng(0), backend.xp
    x, values = rng.standard_normal((5, width), np.float32), rng.standard_normal((4000, width), np.float32)
    arguments = [xp.from_numpy(a) for a in (x, rng.integers(0, 5, 4000), values)]
    first = xp.to_numpy(xp.index_add(*arguments))
    for _ in range(5):
        np.testing.assert_array_equal(xp.to_numpy(xp.index_add(*arguments)).view(np.int32), first.view(np.int32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precisions_accumulate_in_float32(half_backend: Backend, dtype: str) -> None:
    """Ones on top of 2048 get lost one by one: there the numbers are 2 apart in float16, 16 in bfloat16."""
    xp = half_backend.xp
    x = xp.from_numpy(np.full((1, 2), 2048.0), dtype=dtype)
    got = xp.index_add(x, xp.from_numpy(np.zeros(1004, np.int64)), xp.from_numpy(np.ones((1004, 2)), dtype=dtype))
    assert xp.dtype_name(got.dtype) == dtype
    np.testing.assert_array_equal(xp.to_numpy(got), np.full((1, 2), 3052 if dtype == "float16" else 3056))
