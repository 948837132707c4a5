"""The wire format of protocol buffers: a message is a sequence of fields.

A field is a tag (8 * number + kind, as a varint) and its content; kind 2 is a length and as many bytes, 0 a
varint, 5 four bytes, 1 eight. A varint has seven bits a byte, lowest first, and the top bit set on all bytes but the
last. Source: protobuf's "Encoding" page.
"""

from collections.abc import Iterator

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5


def varint(number: int) -> bytes:
    """A number as a varint; a negative one as its two's complement in 64 bits."""
    number &= 2**64 - 1
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A field that holds a message or a string."""
    return bytes((8 * number + BYTES,)) + varint(len(content)) + content


def fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(number, kind, content) of every field; the content of a varint field is its bytes.

    Raises `ValueError` or `IndexError` where the data end within a field or are no fields.
    """
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == VARINT:
            _, at = read_varint(data, at)
        elif kind == BYTES:
            length, start = read_varint(data, at)
            at = start + length
        elif kind in (FOUR_BYTES, EIGHT_BYTES):
            at += 4 if kind == FOUR_BYTES else 8
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at > len(data):
            raise ValueError("a field is cut off")
        yield number, kind, data[start:at]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises `ValueError` or `IndexError` as `fields` does."""
    number = shift = 0
    while True:
        octet = data[at]
        at += 1
        number |= (octet & 127) << shift
        if octet < 128:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
    if number >> 64:
        raise ValueError("a number of more than 64 bits")
    return number, at
