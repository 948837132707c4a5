"""`tf.train.Example` as bytes: named lists of whole numbers or floats, in the wire format of protocol buffers.

    Example   { features: 1 Features }
    Features  { feature: 1 map<string, Feature> }      an entry of a map is a message { key: 1, value: 2 }
    Feature   { bytes_list: 1 | float_list: 2 | int64_list: 3 }
    ...List   { value: 1 repeated }                    numbers are packed into one field

Source: TensorFlow, `core/example/{example,feature}.proto`. Lists of bytes do not occur in BERT's files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...plumbing.protobuf import BYTES, field, fields, varint

Values = npt.NDArray[Any]
"""(N,) of int64 or float32."""

FLOAT_LIST, INT64_LIST = 2, 3


def encode(features: Mapping[str, Values]) -> bytes:
    """The bytes of an example; the features in the order given. Arrays are (N,), int64 or float32."""
    return field(1, b"".join(field(1, _entry(name, values)) for name, values in features.items()))


def _entry(name: str, values: Values) -> bytes:
    if values.dtype == np.float32:
        feature = field(FLOAT_LIST, field(1, values.astype("<f4").tobytes()))
    elif values.dtype == np.int64:
        feature = field(INT64_LIST, field(1, _varints(values)))
    else:
        raise TypeError(f"feature {name!r} has dtype {values.dtype}; int64 or float32 is needed")
    return field(1, name.encode("utf-8")) + field(2, feature)


def _varints(values: npt.NDArray[np.int64]) -> bytes:
    numbers = values.tolist()
    if not numbers or (min(numbers) >= 0 and max(numbers) < 128):
        return bytes(numbers)
    return b"".join(map(varint, numbers))


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
    lists = list(_messages(feature, {FLOAT_LIST, INT64_LIST}))
    if len(lists) != 1:
        raise ValueError(f"a feature with {len(lists)} lists")
    number, content = lists[0]
    parts = list(fields(content))
    if any(part != 1 for part, _, _ in parts):
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
    for number, kind, content in fields(data):
        if number not in expected or kind != BYTES:
            raise ValueError(f"an unexpected field {number}")
        yield number, content
