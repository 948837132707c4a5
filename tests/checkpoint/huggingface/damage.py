"""Accidents: to bytes, and to values that are written as JSON. The same for the same random numbers."""

import random
import struct
from typing import Any

NUMBERS = [0, 1, 2, 3, 4, 7, 8, 12, 16, 47, 48, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62,
           2**63 - 1, 2**63, 2**64 - 1, 2**64, -1, -2**63, 10**30]  # fmt: skip
PIECES = [
    b".", b"(", b"t", b")", b"]", b"}", b"R", b"b", b"Q", b"u", b"s", b"e", b"a", b"0", b"1", b"2", b"\x81", b"\x85",
    b"\x86", b"\x87", b"\x94", b"N", b"\x88", b"q\x00", b"h\x00", b"h\x05", b"j\xff\xff\xff\xff",
    b"r\xff\xff\xff\x7f", b"cos\nsystem\n", b"ccollections\nOrderedDict\n", b"ctorch\nSize\n", b"M\xff\xff",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"J\xff\xff\xff\xff", b"\x8a\x09\0\0\0\0\0\0\0\0\x01",
    b"X\xff\xff\xff\x7f", b"\x95" + b"\xff" * 8, b"\x8d" + b"\xff" * 8, b"\x96" + b"\xff" * 8, b"PK\x01\x02",
    b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b'"', b"{", b"[", b",", b"\\", b"\0", b"\xff", b"\n",
    b"/", b"..",
]  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one to four accidents."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice([1, 1, 2, 4, 8, 40]))
        act = rng.randrange(7)
        if act == 0 and start < len(data):
            data = data[:start] + bytes([data[start] ^ 1 << rng.randrange(8)]) + data[start + 1 :]
        elif act == 1:
            data = data[:start]
        elif act == 2:
            data = data[:start] + data[end:]
        elif act == 3:
            data = data[:end] + data[start:]
        elif act == 4:
            data = data[:start] + rng.choice(PIECES) + data[rng.choice([start, end]) :]
        elif act == 5:
            width = rng.choice("BHIQ")
            number = rng.choice(NUMBERS) % (1 << 8 * struct.calcsize(width))
            piece = struct.pack("<" + width, number)
            data = data[:start] + piece + data[start + len(piece) :]
        else:
            other = rng.randrange(len(data) + 1)
            data = data[:start] + data[other : other + end - start] + data[end:]
    return data


def changed(value: Any, rng: random.Random) -> Any:
    """JSON with one thing in it replaced, removed or doubled."""
    others: list[Any] = [rng.choice(NUMBERS), None, True, 1.5, "", "F32", "../x", [], {}, [0, 8], "\ud800"]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        act = rng.random()
        if act < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if act < 0.2:
            return value | {rng.choice(["other", "half", "__metadata__"]): value[name]}
        return {key: changed(item, rng) if key == name else item for key, item in value.items()}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], changed(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and rng.random() < 0.3:
        return damaged(value.encode(), rng).decode("utf-8", "replace")
    return rng.choice(others)
