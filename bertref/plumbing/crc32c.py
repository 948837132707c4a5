"""CRC-32C: masked, the checksum of TensorFlow's files; as it is, that of a prepared corpus.

Masked: rotated right by 15 bits, plus 0xa282ead8 modulo 2**32; so that the checksum of data that hold their own
checksum is no constant. Source: TensorFlow, `lib/hash/crc32c.h`; Castagnoli's polynomial as in RFC 3720.
"""

from pathlib import Path

import google_crc32c

_CHUNK = 2**20  # the library takes only `bytes`, so a view is copied, but never as a whole


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as it stands in the file. A view has to be of bytes."""
    crc = 0
    for start in range(0, len(data), _CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[start : start + _CHUNK]))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def file_crc32c(path: Path) -> int:
    """The checksum of a whole file, unmasked, in the memory of a piece of it."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            crc = google_crc32c.extend(crc, piece)
    return crc
