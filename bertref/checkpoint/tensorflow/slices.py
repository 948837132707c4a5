"""Slices: how a variable that was partitioned over devices stands in a checkpoint.

Its own entry has its full shape and lists slices; each slice has an entry, too, under a key that is the variable's
name and the slice in an encoding that keeps the order of what is encoded. A number that is not negative: how many
bytes, and the bytes, highest first. A string: its bytes, with 00 as 00 ff, and 00 01 at its end (an ff would become
ff 00, but UTF-8 has none). A signed number: its two's complement in as few bytes as leave room for the header,
highest first; the header, which is combined with it by exclusive or, has as many ones at the top as there are bytes.

    key = number 0, string name, number rank, then for each axis signed start, signed length (-1: all of the axis)

Source: TensorFlow, `core/util/saved_tensor_slice_util.cc`, `core/lib/strings/ordered_code.cc`.
"""

from .bundle import WHOLE, Slice

PREFIX = b"\0"
"""What the keys of slices begin with, and no name does."""


def slice_key(name: str, extents: Slice) -> bytes:
    """The key under which a slice of a variable is stored."""
    string = name.encode("utf-8").replace(b"\0", b"\0\xff")
    numbers = b"".join(_signed(start) + _signed(length) for start, length in extents)
    return PREFIX + string + b"\0\x01" + _unsigned(len(extents)) + numbers


def window(extents: Slice, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where a slice lies in its variable of this shape. Raises `ValueError` if it does not lie in it."""
    if len(extents) != len(shape):
        raise ValueError(f"has a slice of {len(extents)} axes and {len(shape)} axes itself")
    found = []
    for (start, length), size in zip(extents, shape, strict=True):
        stop = size if (start, length) == (0, WHOLE) else start + length
        if start < 0 or stop < start or stop > size:
            raise ValueError(f"has a slice from {start} with {length} elements on an axis of {size}")
        found.append(slice(start, stop))
    return tuple(found)


def _unsigned(number: int) -> bytes:
    content = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((len(content),)) + content


def _signed(number: int) -> bytes:
    length = (
        ~number if number < 0 else number
    ).bit_length() // 7 + 1  # a byte has a bit of the header, one is the sign
    header = (1 << length) - 1 << 7 * length
    complement = number & (1 << 8 * length) - 1
    return (complement ^ header).to_bytes(length, "big")
