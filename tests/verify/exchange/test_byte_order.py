"""Files in the wrong byte order are noticed, and nothing else is taken for one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.verify.exchange import byte_order
from bertref.verify.subjects.dump import DumpSubject

from .folders import bfloat16, case, dump, right

DTYPES = ("float64", "float32", "float16")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_dump_in_the_wrong_order_is_named(tmp_path: Path, dtype: str) -> None:
    values = {"layer.0.query": right()["layer.0.query"].astype(dtype)}
    with pytest.raises(InputError, match=r"'layer.0.query'.*bytes swapped.*little-endian") as caught:
        DumpSubject(dump(tmp_path, values, order=">")).answer(case())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_answer_of_a_case_is_taken_for_what_it_is(dtype: str) -> None:
    """No answer in the right order is suspected; of those in the wrong one, most are."""
    with np.errstate(all="ignore"):
        arrays = {name: array.astype(dtype) for name, array in right().items()}
    assert [name for name, array in arrays.items() if byte_order.swapped(array, dtype)] == []
    wrong = {name: byte_order.swapped(array.byteswap(), dtype) for name, array in arrays.items() if array.size >= 24}
    assert np.mean(list(wrong.values())) > (0.6 if dtype == "float16" else 0.85)


def test_bfloat16(tmp_path: Path) -> None:
    bits = np.frombuffer(bfloat16(right()["layer.0.query"]), "<u2")
    assert not byte_order.swapped(bits, "bfloat16")
    assert byte_order.swapped(bits.byteswap(), "bfloat16")


@given(
    seed=st.integers(0, 2**32 - 1), scale=st.floats(-30, 30), spread=st.floats(0, 8), size=st.integers(8, 300),
    dtype=st.sampled_from(["float64", "float32"]), zeros=st.floats(0, 0.9),
)  # fmt: skip
def test_numbers_of_any_size_are_not_suspected(
    seed: int, scale: float, spread: float, size: int, dtype: str, zeros: float
) -> None:
    draw = np.random.default_rng(seed)
    values = draw.standard_normal(size) * 10.0 ** (scale + spread * draw.standard_normal(size))
    values[draw.random(size) < zeros] = 0
    with np.errstate(over="ignore", under="ignore"):
        assert not byte_order.swapped(values.astype(dtype), dtype)


def test_garbage_is_the_judges_business() -> None:
    draw = np.random.default_rng(1)
    for bits in (draw.integers(0, 2**32, 500, np.uint32).view(np.float32), np.full(50, np.nan, np.float32),
                 np.zeros(50, np.float32), np.ones(50, np.float32), np.full(50, 1e-40, np.float32)):  # fmt: skip
        assert not byte_order.swapped(bits, "float32")
    both = np.array([0x3F00003F + (i << 8) + (i << 16) for i in range(100)], np.uint32).view(np.float32)
    assert np.array_equal(both, both.byteswap())
    assert not byte_order.swapped(both, "float32")
    few = np.arange(1, 8, dtype=np.float32)
    assert not byte_order.swapped(few.byteswap(), "float32")
    assert byte_order.swapped(np.append(few, 8).byteswap(), "float32")
    assert not byte_order.swapped(np.arange(50, dtype=np.int32).byteswap(), "int32")
