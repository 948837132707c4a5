"""`tf.train.Example` as bytes: named lists of whole numbers or floats, in the wire format of protocol buffers.

    Example   { features: 1 Features }
    Features  { feature: 1 map<string, Feature> }      an entry of a map is a message { key: 1, value: 2 }
    Feature   { bytes_list: 1 | float_list: 2 | int64_list: 3 }
    ...List   { value: 1 repeated }                    numbers are packed into one field

A field is a tag (8 * number + kind, as a varint) and its content; kind 2 is a length and as many bytes, 0 a
varint, 5 four bytes. A varint has seven bits a byte, lowest first, and the top bit set on all bytes but the last.
Source: TensorFlow, `core/example/{example,feature}.proto`; protobuf's "Encoding" page. Lists of bytes do not occur
in BERT's files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

Values = npt.NDArray[Any]
"""(N,) of int64 or float32."""

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
FLOAT_LIST, INT64_LIST = 2, 3


def encode(features: Mapping[str, Values]) -> bytes:
    """The bytes of an example; the features in the order given. Arrays are (N,), int64 or float32."""
    return _field(1, b"".join(_field(1, _entry(name, values)) for name, values in features.items()))


def _entry(name: str, values: Values) -> bytes:
    if values.dtype == np.float32:
        feature = _field(FLOAT_LIST, _field(1, values.astype("<f4").tobytes()))
    elif values.dtype == np.int64:
        feature = _field(INT64_LIST, _field(1, _varints(values)))
    else:
        raise TypeError(f"feature {name!r} has dtype {values.dtype}; int64 or float32 is needed")
    return _field(1, name.encode("utf-8")) + _field(2, feature)


def _field(number: int, content: bytes) -> bytes:
    return bytes((8 * number + BYTES,)) + _varint(len(content)) + content


def _varints(values: npt.NDArray[np.int64]) -> bytes:
    numbers = values.tolist()
    if not numbers or (min(numbers) >= 0 and max(numbers) < 128):
        return bytes(numbers)
    return b"".join(map(_varint, numbers))


def _varint(number: int) -> bytes:
    number &= 2**64 - 1  # a negative number stands as its two's complement, in ten bytes
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode(data: bytes, where: str = "example") -> dict[str, Values]:
    """The features of an example. Raises `InputError`, naming `where`, if it isn't one or holds lists of bytes."""
    features: dict[str, Values] = {}
    try:
        for _, content in _messages(data, {1}):
            for _, entry in _messages(content, {1}):
                parts = dict(_messages(entry, {1, 2}))
                features[parts[1].decode("utf-8")] = _values(parts.get(2, b""))
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(f"{where}: not a tf.train.Example of numbers: {error or 'unexpected content'}") from None
    return features


def _values(feature: bytes) -> Values:
    fields = list(_messages(feature, {FLOAT_LIST, INT64_LIST}))
    if len(fields) != 1:
        raise ValueError(f"a feature with {len(fields)} lists")
    number, content = fields[0]
    parts = list(_fields(content))
    if any(field != 1 for field, _, _ in parts):
        raise ValueError("an unknown field in a list")
    if number == FLOAT_LIST:
        return np.frombuffer(b"".join(value for _, _, value in parts), "<f4").astype(np.float32)
    return _read_varints(b"".join(value for _, _, value in parts))


def _read_varints(content: bytes) -> npt.NDArray[np.int64]:
    """All varints of a packed list at once: each byte's seven bits are shifted to their place and added up."""
    octets = np.frombuffer(content, np.uint8)
    if not octets.size:
        return np.zeros(0, np.int64)
    last = octets < 128
    if not last[-1]:
        raise ValueError("a number is cut off")
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    place = np.arange(octets.size) - np.repeat(starts, np.diff([*starts, octets.size]))
    if place.max() > 9:
        raise ValueError("a number of more than ten bytes")
    bits = (octets & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(bits, starts).view(np.int64)


def _messages(data: bytes, expected: set[int]) -> Iterator[tuple[int, bytes]]:
    """(number, content) of fields that all have to be messages or strings of the expected numbers."""
    for number, kind, content in _fields(data):
        if number not in expected or kind != BYTES:
            raise ValueError(f"an unexpected field {number}")
        yield number, content


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(number, kind, content) of every field; the content of a varint field is its bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == VARINT:
            _, at = _read_varint(data, at)
        elif kind == BYTES:
            length, start = _read_varint(data, at)
            at = start + length
        elif kind in (FOUR_BYTES, EIGHT_BYTES):
            at += 4 if kind == FOUR_BYTES else 8
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at > len(data):
            raise ValueError("a field is cut off")
        yield number, kind, data[start:at]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = shift = 0
    while True:
        octet = data[at]
        at += 1
        number |= (octet & 127) << shift
        if octet < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
