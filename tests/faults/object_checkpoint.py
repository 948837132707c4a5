"""The index of a TensorFlow-2 object checkpoint, byte by byte: a table of one block, with the objects' graph."""

import struct
from pathlib import Path

NAMES = ["_CHECKPOINTABLE_OBJECT_GRAPH", "model/bert/embeddings/weight/.ATTRIBUTES/VARIABLE_VALUE",
         "save_counter/.ATTRIBUTES/VARIABLE_VALUE"]  # fmt: skip


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(number: int) -> bytes:
    return bytes((number,)) if number < 128 else bytes((number % 128 + 128,)) + varint(number // 128)


def block(items: list[tuple[bytes, bytes]]) -> bytes:
    entries = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in items)
    content = entries + struct.pack("<II", 0, 1) + b"\0"
    return content + masked(content)


def entry(name: str) -> bytes:
    """BundleEntryProto of a string (the graph), or of two floats."""
    graph = name.startswith("_")
    shape = b"\x12\0" if graph else b"\x12\x04\x12\x02\x08\x02"
    place = b"\x28\x05" if graph else bytes((0x20, 8 * NAMES.index(name), 0x28, 8)) + b"\x35" + masked(bytes(8))
    return bytes((0x08, 7 if graph else 1)) + shape + place


def write(prefix: Path) -> Path:
    """Writes PREFIX.index and PREFIX.data-00000-of-00001; returns the prefix."""
    header = b"\x08\x01\x1a\x02\x08\x01"  # one data file, version 1
    data = block([(b"", header), *((name.encode(), entry(name)) for name in NAMES)])
    meta = block([])
    index = block([(NAMES[-1].encode(), varint(0) + varint(len(data) - 5))])
    handles = b"".join(map(varint, (len(data), len(meta) - 5, len(data) + len(meta), len(index) - 5)))
    footer = handles.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(prefix.name + ".index").write_bytes(data + meta + index + footer)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(bytes(64))
    return prefix
