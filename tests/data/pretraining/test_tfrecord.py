"""TFRecord framing and tf.train.Example, against bytes worked out by hand, tensorboardX and protobuf."""

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.pretraining import example_proto, tfrecord
from bertref.data.pretraining.example_proto import decode, encode
from bertref.errors import InputError


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum bit by bit, from its definition (reflected polynomial 0x82f63b78)."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_the_checksum_of_rfc_3720() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert tfrecord.masked_crc32c(b"123456789") == masked(b"123456789")


@given(st.binary(max_size=60))
def test_frames_by_the_definition(data: bytes) -> None:
    length = struct.pack("<Q", len(data))
    expected = length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))
    assert tfrecord.frame(data) == expected


def test_files_are_those_of_tensorboardx(tmp_path: Path) -> None:
    """A third party's writer, on the same records."""
    from tensorboardX.record_writer import RecordWriter

    records = [b"", b"a", bytes(range(256)) * 3]
    theirs = RecordWriter(str(tmp_path / "theirs"))
    for record in records:
        theirs.write(record)
    theirs.close()
    with tfrecord.Writer([tmp_path / "ours"]) as ours:
        for record in records:
            ours.write(record)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert list(tfrecord.read_records(tmp_path / "theirs")) == records


def test_one_example_byte_by_byte() -> None:
    features = {"ids": np.array([1, 300, -1]), "w": np.array([1.0, 0.5], np.float32)}
    minus_one = b"\xff" * 9 + b"\x01"
    ids = b"\x0a\x0d" + b"\x01" + b"\xac\x02" + minus_one  # field 1, 13 bytes: 1, 300, -1
    weights = b"\x0a\x08" + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\x3f"
    ids_entry = b"\x0a\x03ids" + b"\x12\x11" + b"\x1a\x0f" + ids  # key; value: an int64_list of 15 bytes
    weights_entry = b"\x0a\x01w" + b"\x12\x0c" + b"\x12\x0a" + weights
    inner = b"\x0a\x18" + ids_entry + b"\x0a\x11" + weights_entry
    assert encode(features) == b"\x0a" + bytes([len(inner)]) + inner


def example_class() -> Any:
    """`tf.train.Example` built from its published description, for protobuf to read and write."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, int, str], parent: Any = None) -> Any:
        made = (parent.nested_type if parent else file.message_type).add(name=name)
        for field_name, number, label, kind, type_name in fields:
            made.field.add(name=field_name, number=number, label=label, type=kind, type_name=type_name or None)
        return made

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    message("BytesList", ("value", 1, many, field.TYPE_BYTES, ""))
    message("FloatList", ("value", 1, many, field.TYPE_FLOAT, ""))
    message("Int64List", ("value", 1, many, field.TYPE_INT64, ""))
    lists = (("bytes_list", 1, "BytesList"), ("float_list", 2, "FloatList"), ("int64_list", 3, "Int64List"))
    feature = message("Feature", *((name, n, one, field.TYPE_MESSAGE, f".t.{kind}") for name, n, kind in lists))
    feature.oneof_decl.add(name="kind")
    for part in feature.field:
        part.oneof_index = 0
    features = message("Features", ("feature", 1, many, field.TYPE_MESSAGE, ".t.Features.FeatureEntry"))
    entry = message(
        "FeatureEntry",
        ("key", 1, one, field.TYPE_STRING, ""),
        ("value", 2, one, field.TYPE_MESSAGE, ".t.Feature"),
        parent=features,
    )
    entry.options.map_entry = True
    message("Example", ("features", 1, one, field.TYPE_MESSAGE, ".t.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = example_class()

lists = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30).map(lambda values: np.array(values, np.int64)),
    (st.lists(st.integers(0, 300), max_size=3) | st.lists(st.integers(0, 127), max_size=200)).map(
        lambda values: np.array(values, np.int64)
    ),
    st.lists(st.floats(width=32, allow_nan=False), max_size=30).map(lambda values: np.array(values, np.float32)),
)
examples = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), lists, max_size=4)


@given(examples)
def test_examples_are_those_of_protobuf(features: dict[str, np.ndarray]) -> None:
    theirs = EXAMPLE.FromString(encode(features)).features.feature
    assert set(theirs) == set(features)
    for name, values in features.items():
        kind = "float_list" if values.dtype == np.float32 else "int64_list"
        assert theirs[name].WhichOneof("kind") == kind
        assert list(getattr(theirs[name], kind).value) == values.tolist()


@given(examples)
def test_examples_of_protobuf_are_read(features: dict[str, np.ndarray]) -> None:
    example = EXAMPLE()
    for name, values in features.items():
        feature = example.features.feature[name]
        (feature.float_list if values.dtype == np.float32 else feature.int64_list).value.extend(values.tolist())
    found = decode(example.SerializeToString())
    # protobuf cannot tell an empty list of floats from none, and writes neither
    assert set(found) == set(features)
    for name, values in features.items():
        assert found[name].tolist() == values.tolist()
        assert found[name].dtype == values.dtype


def test_numbers_that_are_not_packed_are_read() -> None:
    """Old writers put every number into a field of its own."""
    ids = b"\x08\x05" + b"\x08\xac\x02"
    weights = b"\x0d" + struct.pack("<f", 2.5)
    entries = b"".join(
        b"\x0a" + bytes([len(entry)]) + entry
        for entry in (
            b"\x0a\x01i\x12" + bytes([len(ids) + 2]) + b"\x1a" + bytes([len(ids)]) + ids,
            b"\x0a\x01w\x12" + bytes([len(weights) + 2]) + b"\x12" + bytes([len(weights)]) + weights,
        )
    )
    found = decode(b"\x0a" + bytes([len(entries)]) + entries)
    assert found["i"].tolist() == [5, 300]
    assert found["w"].tolist() == [2.5]


@given(st.binary(max_size=40))
def test_what_is_no_example_is_refused_or_read_but_never_breaks(data: bytes) -> None:
    with contextlib.suppress(InputError):  # any other exception fails the test
        decode(data)


def test_lists_of_bytes_are_refused() -> None:
    example = EXAMPLE()
    example.features.feature["image"].bytes_list.value.append(b"x")
    with pytest.raises(
        InputError, match=r"file, record 3: not a tf\.train\.Example of numbers: an unexpected field 1"
    ):
        decode(example.SerializeToString(), "file, record 3")


def test_other_dtypes_are_not_written() -> None:
    with pytest.raises(TypeError, match="int32"):
        encode({"ids": np.zeros(2, np.int32)})


def test_varints_have_at_most_ten_bytes() -> None:
    with pytest.raises(ValueError, match="more than ten bytes"):
        example_proto._read_varints(b"\xff" * 10 + b"\x01")
    with pytest.raises(ValueError, match="cut off"):
        example_proto._read_varints(b"\x01\xff")


# ---------------------------------------------------------------------------------------------------------------------


def three_records(path: Path) -> list[int]:
    """Writes three records; returns their offsets."""
    with tfrecord.Writer([path]) as writer:
        for data in (b"first", b"second one", b"third"):
            writer.write(data)
    return [0, 21, 47]


@pytest.mark.parametrize("place", [0, 3, 9])
def test_a_wrong_length_is_named_with_its_offset(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.tfrecord"
    offset = three_records(path)[1]
    content = bytearray(path.read_bytes())
    content[offset + place] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tfrecord, record at offset 21: the checksum of its length"):
        list(tfrecord.read_records(path))


@pytest.mark.parametrize("place", [12, 21, 22, 25])
def test_damaged_data_are_named_with_their_offset(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.tfrecord"
    offset = three_records(path)[1]
    content = bytearray(path.read_bytes())
    content[offset + place] ^= 4
    path.write_bytes(content)
    found = tfrecord.read_records(path)
    assert next(found) == b"first"
    with pytest.raises(InputError, match="record at offset 21: its checksum is wrong"):
        next(found)


@pytest.mark.parametrize("size", [48, 60, 67])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tfrecord"
    assert three_records(path)[2] < size
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="record at offset 47: the file is cut off"):
        tfrecord.index_records(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: can't be read: No such file"):
        tfrecord.index_records(tmp_path / "gone")


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[0].write_bytes(b"what was there")

    def interrupted() -> None:
        with tfrecord.Writer(paths) as writer:
            writer.write(b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert paths[0].read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [paths[0]]


def test_records_go_to_the_files_in_turn(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    with tfrecord.Writer(paths) as writer:
        for number in range(7):
            writer.write(b"%d" % number)
    assert [list(tfrecord.read_records(path)) for path in paths] == [
        [b"0", b"3", b"6"],
        [b"1", b"4"],
        [b"2", b"5"],
    ]


def test_a_place_that_can_t_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"), tfrecord.Writer([tmp_path / "file" / "a"]):
        pass
    with pytest.raises(InputError, match="named twice"):
        tfrecord.Writer([tmp_path / "a", tmp_path / "a"])
    with pytest.raises(InputError, match="no TFRecord file"):
        tfrecord.Writer([])
