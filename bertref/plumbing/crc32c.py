"""The checksum of TensorFlow's files: CRC-32C, masked.

Masked: rotated right by 15 bits, plus 0xa282ead8 modulo 2**32; so that the checksum of data that hold their own
checksum is no constant. Source: TensorFlow, `lib/hash/crc32c.h`; Castagnoli's polynomial as in RFC 3720.
"""

import google_crc32c

_CHUNK = 2**20  # the library takes only `bytes`, so a view is copied, but never as a whole


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as it stands in the file. A view has to be of bytes."""
    crc = 0
    for start in range(0, len(data), _CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[start : start + _CHUNK]))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
