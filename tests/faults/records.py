"""TFRecord files of pre-training examples, written from the formats' definitions and with nothing of bertref."""

import random
import struct
from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "old", "clock", "in", "tower", "struck", "nine", "and", "a", "small", "bird", "flew", "over", "river")
VOCAB = "".join(f"{token}\n" for token in (*SPECIAL, *WORDS))
S, P = 16, 3


def write(path: Path, examples: int = 20, seed: int = 1, **changes: list[int]) -> Path:
    """Writes random examples; `changes` replace features of the one in the middle. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    made = [example(rng) for _ in range(examples)]
    made[examples // 2] |= changes
    path.write_bytes(b"".join(_framed(_encoded(features)) for features in made))
    return path


def folder(path: Path, name: str = "a.tfrecord", **changes: list[int]) -> Path:
    """A folder of one file of records and its vocabulary."""
    write(path / name, **changes)
    (path / "vocab.txt").write_text(VOCAB)
    return path


def example(rng: random.Random) -> dict[str, list[int]]:
    """[CLS] A [SEP] B [SEP], two to three tokens of padding and two of P masked tokens."""
    a = [rng.randrange(5, len(SPECIAL) + len(WORDS)) for _ in range(5)]
    b = [rng.randrange(5, len(SPECIAL) + len(WORDS)) for _ in range(rng.choice((5, 6)))]
    ids = [2, *a, 3, *b, 3]
    padding = [0] * (S - len(ids))
    positions = sorted(rng.sample([1, 2, 3, 4, 5, 7, 8], 2))
    labels = [ids[position] for position in positions]
    for position in positions:
        ids[position] = 4
    return {
        "input_ids": ids + padding,
        "input_mask": [1] * len(ids) + padding,
        "segment_ids": [0] * 7 + [1] * (len(ids) - 7) + padding,
        "masked_lm_positions": [*positions, 0],
        "masked_lm_ids": [*labels, 0],
        "masked_lm_weights": [1, 1, 0],
        "next_sentence_labels": [rng.randrange(2)],
    }


def _encoded(features: dict[str, list[int]]) -> bytes:
    """`tf.train.Example`: every number here is below 128, so a varint is one byte."""

    def field(number: int, content: bytes) -> bytes:
        length = len(content)
        size = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
        return bytes([8 * number + 2]) + size + content

    entries = b""
    for name, values in features.items():
        if name == "masked_lm_weights":
            value = field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
        else:
            value = field(3, field(1, bytes(values)))
        entries += field(1, field(1, name.encode()) + field(2, value))
    return field(1, entries)


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    """CRC-32C bit by bit, rotated by 15 and shifted, as `record_writer.h` has it."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32)
