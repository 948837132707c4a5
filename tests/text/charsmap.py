"""A "precompiled charsmap" of SentencePiece: which strings of a text are replaced by which, the longest first.

    4 bytes    the size of the trie in bytes, little-endian
    units      4 bytes each, a double-array trie of the strings' UTF-8 (darts-clone)
    rest       the replacements, each ended by U+0000; a string's value is where its replacement begins

A unit of a node: bits 0 to 7 its label, bit 8 whether a string ends here, bits 10 to 31 its offset. The child by byte c
stands at (place xor offset xor c) and has the label c; the value at (place xor offset), with bit 31 set.
"""

import struct
from collections.abc import Iterator, Mapping

Trie = dict[int, "Trie | int"]
END = 0


def charsmap(replacements: Mapping[str, str]) -> bytes:
    """The map in the form of a model's file."""
    blob, trie = bytearray(), dict[int, object]()
    for source, target in replacements.items():
        node = trie
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[END] = len(blob)
        blob += target.encode() + b"\0"
    units = _units(trie)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(blob)


def _units(trie: Trie) -> list[int]:
    taken: dict[int, int] = {0: 0}
    _place(trie, 0, taken, iter(range(1, 1 << 20)))
    size = (max(taken) // 256 + 1) * 256
    return [taken.get(place, 0) for place in range(size)]


def _place(node: Trie, at: int, taken: dict[int, int], bases: Iterator[int]) -> None:
    """No two nodes have the same base, or one's children would be the other's, too."""
    base = next(base for base in bases if all(base ^ byte not in taken for byte in node))
    taken[at] |= (at ^ base) << 10 | (END in node) << 8
    for byte, child in node.items():
        taken[base ^ byte] = 1 << 31 | child if byte == END else byte
    for byte, child in node.items():
        if byte != END:
            _place(child, base ^ byte, taken, bases)
