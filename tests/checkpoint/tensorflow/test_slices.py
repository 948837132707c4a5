"""The keys of slices: bytes that TensorFlow wrote, and the order that they keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.checkpoint.tensorflow.slices import slice_key, window


@pytest.mark.parametrize(
    ("name", "extents", "key"),
    [
        ("t/columns", ((0, 4), (0, 35)), b"\0t/columns\0\1\1\2\x80\x84\x80\xa3"),
        ("t/rows", ((3, 2), (0, 3)), b"\0t/rows\0\1\1\2\x83\x82\x80\x83"),
        ("x", ((0, -1),), b"\0x\0\1\1\1\x80\x7f"),
        ("x", (), b"\0x\0\1\0"),
        ("x", ((63, 64),), b"\0x\0\1\1\1\xbf\xc0\x40"),
        ("x", ((-64, -65),), b"\0x\0\1\1\1\x40\x3f\xbf"),
        ("x", ((8191, 8192),), b"\0x\0\1\1\1\xdf\xff\xe0\x20\x00"),
        ("x", ((2**62, 2**63 - 1),), b"\0x\0\1\1\1\xff\xc0\x40" + bytes(7) + b"\xff\xc0\x7f" + b"\xff" * 7),
        ("a\0b", (), b"\0a\0\xffb\0\1\0"),
        ("é", (), b"\0\xc3\xa9\0\1\0"),
    ],
)
def test_keys(name: str, extents: tuple[tuple[int, int], ...], key: bytes) -> None:
    assert slice_key(name, extents) == key


numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70) | st.sampled_from(
    [sign * 2**power + more for sign in (1, -1) for power in range(5, 63) for more in (-1, 0, 1)]
)  # fmt: skip
slices = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=2).map(tuple)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(names, slices, names, slices)
def test_keys_are_ordered_as_what_they_encode(
    name: str, one: tuple[tuple[int, int], ...], other_name: str, other: tuple[tuple[int, int], ...]
) -> None:
    """So the length of each number's encoding is right, and no two slices have the same key."""
    ours, theirs = (name.encode(), one), (other_name.encode(), other)
    assert (slice_key(name, one) < slice_key(other_name, other)) == (ours < theirs)
    assert (slice_key(name, one) < slice_key(name, other)) == (one < other)
    assert (slice_key(name, one) == slice_key(name, other)) == (one == other)


def test_windows() -> None:
    assert window(((0, -1), (2, 3), (5, 0)), (4, 5, 5)) == (slice(0, 4), slice(2, 5), slice(5, 5))
    for extents in (((0, 6),), ((-1, 2),), ((6, 0),), ((1, -1),), ((0, -2),), ()):
        with pytest.raises(ValueError, match="has a slice"):
            window(extents, (5,))
