"""Stored integers explain a number if each is the nearest to it, and nothing is cut off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.verify.integers import Integers

RIGHT = np.random.default_rng(3).standard_normal((6, 5))
SCALE = np.abs(RIGHT).max() / 127


def stored(scale: object, zero: object = 0.0, kind: type[np.generic] = np.int8, right: object = RIGHT) -> Integers:
    """As quantisers make them."""
    ends = np.iinfo(kind)  # type: ignore[arg-type,type-var]
    integers = np.clip(np.rint(np.asarray(right) / scale + zero), ends.min, ends.max).astype(kind)  # type: ignore[operator]
    return Integers(integers, np.asarray(scale), np.asarray(zero))


def test_the_nearest_integers_are_right() -> None:
    channels = np.abs(RIGHT).max(axis=1, keepdims=True) / 127
    unsigned = (RIGHT.max() - RIGHT.min()) / 255
    for held in (stored(SCALE), stored(channels), stored(unsigned, np.rint(-RIGHT.min() / unsigned), np.uint8)):
        assert held.explains(RIGHT)
        assert held.turned().explains(RIGHT.T)
        np.testing.assert_allclose(held.values, RIGHT, atol=0.501 * float(np.max(held.scale)))


@given(at=st.tuples(st.integers(0, 5), st.integers(0, 4)), by=st.sampled_from([-1, 1]))
def test_a_single_integer_that_is_not_the_nearest_is_wrong(at: tuple[int, int], by: int) -> None:
    held = stored(SCALE * 1.1)
    held.integers[at] += by
    assert not held.explains(RIGHT)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_another_scale_is_wrong(factor: float) -> None:
    assert not Integers(stored(SCALE).integers, np.asarray(factor * SCALE), np.asarray(0.0)).explains(RIGHT)


def test_what_is_cut_off_is_wrong() -> None:
    """A scale of the largest number over 128 ends at 127, which is no mistake."""
    assert stored(np.abs(RIGHT).max() / 128).explains(RIGHT)
    assert not stored(np.abs(RIGHT).max() / 140).explains(RIGHT)


def test_a_matrix_of_another_shape_is_wrong() -> None:
    assert not stored(SCALE).explains(RIGHT.T)


def test_large_integers_are_as_exact_as_their_scale() -> None:
    """A bias in 32 bits, divided by a scale that was rounded to float32."""
    scale = 3.1e-8
    held = stored(scale, kind=np.int32)
    rounded = Integers(held.integers, np.asarray(np.float32(scale), np.float64), held.zero)
    assert rounded.explains(RIGHT)
    assert not Integers(held.integers + 300, rounded.scale, rounded.zero).explains(RIGHT)
