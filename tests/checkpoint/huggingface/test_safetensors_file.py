"""safetensors: what the library wrote is read as it reads it; every way in which a header can lie is refused."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import save_file

from bertref.checkpoint.safetensors_file import DTYPES, SafetensorsSource

from .files import entry, read_all, refusal, safetensors_bytes, same_bits

NUMBERS = torch.tensor([[0, 1, 100], [7, 2, 3]])
TORCH = {
    "bool": torch.bool, "uint8": torch.uint8, "int8": torch.int8, "uint16": torch.uint16, "int16": torch.int16,
    "uint32": torch.uint32, "int32": torch.int32, "uint64": torch.uint64, "int64": torch.int64,
    "float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64,
}  # fmt: skip


def test_every_dtype(tmp_path: Path) -> None:
    assert set(TORCH) == set(DTYPES.values())
    tensors = {name: NUMBERS.to(dtype) for name, dtype in TORCH.items()}
    tensors |= {
        "scalar": torch.tensor(-0.0),
        "empty": torch.zeros(0, 3),
        "special": torch.tensor([float("nan"), float("inf"), 1e-45]),
    }
    save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    source = SafetensorsSource(tmp_path / "a.safetensors")
    assert source.metadata == {"format": "pt"}
    assert set(source.entries) == set(tensors)
    assert source.entries["bfloat16"].dtype == "bfloat16"
    arrays = read_all(source)
    for name, value in tensors.items():
        assert same_bits(arrays[name], value), name
    assert source.distinct_bytes == sum(value.numel() * value.element_size() for value in tensors.values())


def test_every_bfloat16(tmp_path: Path) -> None:
    values = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    save_file({"w": values}, tmp_path / "a.safetensors")
    array = SafetensorsSource(tmp_path / "a.safetensors").read("w")
    assert array.dtype == np.float32
    assert (array.view(np.uint32) == np.arange(65536, dtype=np.uint32) << 16).all()


def test_real_files(data_dir: Path) -> None:
    path = data_dir / "weights" / "bert_tiny_splade_mlm" / "model.safetensors"
    source = SafetensorsSource(path)
    arrays = read_all(source)
    theirs = dict(safetensors.deserialize(path.read_bytes()))
    assert set(arrays) == set(theirs)
    assert all(array.tobytes() == bytes(theirs[name]["data"]) for name, array in arrays.items())
    assert sum(array.size for array in arrays.values()) == 4_416_698


def test_an_unknown_tensor_and_a_file_that_shrank(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": NUMBERS}, path)
    source = SafetensorsSource(path)
    with pytest.raises(Exception, match="holds no tensor 'v'"):
        source.read("v")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Exception, match=r"'w' should end at byte \d+, but the file has \d+"):
        source.read("w")


F = entry("F32", [2], 0, 8)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "too few"),
    "seven bytes": (b"\0" * 7, "too few"),
    "a header beyond the file": (safetensors_bytes({"w": F}, b"\0" * 8, length=1 << 40), "header of 1099511627776"),
    "the longest header": (safetensors_bytes({"w": F}, b"\0" * 8, length=(1 << 64) - 1), "is truncated"),
    "a header cut short": (safetensors_bytes({"w": F}, length=40), "no valid JSON|not valid JSON"),
    "an empty header": (safetensors_bytes(b""), "no JSON object"),
    "a page": (b"<!DOCTYPE html><html>", "web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "git lfs pull"),
    "not JSON": (safetensors_bytes(b"{w}"), "not valid JSON"),
    "a list": (safetensors_bytes(b"[1]"), "no JSON object"),
    "space before it": (safetensors_bytes(b" {}"), "no JSON object"),
    "not UTF-8": (safetensors_bytes(b'{"\xff":1}'), "not UTF-8"),
    "deep": (safetensors_bytes(b'{"w":' + b"[" * 200_000), "too deeply"),
    "NaN": (safetensors_bytes(b'{"w":NaN}'), "NaN"),
    "a number of 5000 digits": (safetensors_bytes(b'{"w":' + b"9" * 5000 + b"}"), "not valid JSON"),
    "two tensors of one name": (
        safetensors_bytes(b'{"w":' + json.dumps(F).encode() + b',"w":' + json.dumps(F).encode() + b"}", b"\0" * 8),
        "the name 'w' twice"),
    "two dtypes in one entry": (
        safetensors_bytes(b'{"w":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
        "the name 'dtype' twice"),
    "half a character": (safetensors_bytes(b'{"\\ud800":1}'), "no valid text"),
    "metadata that is no text": (safetensors_bytes({"__metadata__": {"a": 1}}), "not a text"),
    "metadata that is a list": (safetensors_bytes({"__metadata__": []}), "not an object"),
    "an entry that is none": (safetensors_bytes({"w": 3}), "tensor 'w': its entry must have"),
    "an entry without a shape": (safetensors_bytes({"w": {"dtype": "F32", "data_offsets": [0, 0]}}), "must have"),
    "an entry with more": (safetensors_bytes({"w": F | {"strides": [1]}}, b"\0" * 8), "nothing else"),
    "8-bit floats": (safetensors_bytes({"w": entry("F8_E4M3", [2], 0, 2)}, b"\0" * 2), "'F8_E4M3' is not supported"),
    "4-bit floats": (safetensors_bytes({"w": entry("F4", [2], 0, 1)}, b"\0"), "'F4' is not supported"),
    "complex numbers": (safetensors_bytes({"w": entry("C64", [1], 0, 8)}, b"\0" * 8), "'C64' is not supported"),
    "an unknown dtype": (safetensors_bytes({"w": entry("f32", [2], 0, 8)}, b"\0" * 8), "'f32' is not supported"),
    "a dtype that is a list": (safetensors_bytes({"w": F | {"dtype": []}}, b"\0" * 8), "dtype a list"),
    "a shape that is a number": (safetensors_bytes({"w": F | {"shape": 2}}, b"\0" * 8), "its shape is 2"),
    "a negative size": (safetensors_bytes({"w": entry("F32", [-1, -2], 0, 8)}, b"\0" * 8), "the size -1"),
    "a fraction": (safetensors_bytes({"w": entry("F32", [2.0], 0, 8)}, b"\0" * 8), "the size 2.0"),
    "a truth value": (safetensors_bytes({"w": entry("F32", [2, True], 0, 8)}, b"\0" * 8), "the size True"),
    "many dimensions": (safetensors_bytes({"w": entry("F32", [1] * 100 + [2], 0, 8)}, b"\0" * 8), "101 dimensions"),
    "a product that overflows to 8 bytes": (
        safetensors_bytes({"w": entry("F32", [(1 << 62) + 1, 2], 0, 8)}, b"\0" * 8), "more elements than"),
    "a product that overflows to nothing": (
        safetensors_bytes({"w": entry("F32", [1 << 32, 1 << 32], 0, 0)}), "more elements than"),
    "an empty tensor too large for NumPy": (
        safetensors_bytes({"w": entry("F32", [0, 1 << 40, 1 << 40], 0, 0)}), "more elements than"),
    "a size of 300 digits": (safetensors_bytes({"w": entry("F32", [10**300], 0, 8)}, b"\0" * 8), "more elements than"),
    "a huge tensor": (safetensors_bytes({"w": entry("F32", [1 << 40], 0, 1 << 42)}, b"\0" * 8), "which has 8"),
    "offsets of another size": (safetensors_bytes({"w": entry("F32", [3], 0, 8)}, b"\0" * 8), "takes 12 bytes"),
    "offsets that run backwards": (safetensors_bytes({"w": entry("F32", [0], 8, 0)}, b"\0" * 8), "takes 0 bytes"),
    "negative offsets": (safetensors_bytes({"w": entry("F32", [2], -8, 0)}, b"\0" * 8), "whole numbers from 0"),
    "three offsets": (safetensors_bytes({"w": F | {"data_offsets": [0, 4, 8]}}, b"\0" * 8), "two whole numbers"),
    "offsets that are texts": (safetensors_bytes({"w": F | {"data_offsets": ["0", "8"]}}, b"\0" * 8), "two whole"),
    "overlapping tensors": (safetensors_bytes({"w": F, "v": entry("F32", [2], 4, 12)}, b"\0" * 12),
                            "'w' and 'v' overlap at byte 4"),
    "one tensor inside another": (safetensors_bytes({"w": entry("F32", [3], 0, 12), "v": entry("F32", [1], 4, 8)},
                                                    b"\0" * 12), "overlap"),
    "two names for one range": (safetensors_bytes({"w": F, "v": F}, b"\0" * 8), "overlap"),
    "a hole": (safetensors_bytes({"w": F, "v": entry("F32", [1], 12, 16)}, b"\0" * 16), "bytes 8 to 12, before"),
    "a hole in front": (safetensors_bytes({"w": entry("F32", [2], 4, 12)}, b"\0" * 12), "bytes 0 to 4, before"),
    "data cut short": (safetensors_bytes({"w": F}, b"\0" * 7), "ends at byte 8 of the data, which has 7"),
    "data that goes on": (safetensors_bytes({"w": F}, b"\0" * 9), "1 bytes follow"),
    "data and no tensor": (safetensors_bytes({}, b"\0"), "1 bytes follow"),
    "a truth value of 2": (safetensors_bytes({"w": entry("BOOL", [2], 0, 2)}, b"\1\2"), "neither 0 nor 1 (2)"),
    "a name of a million letters and lines": (safetensors_bytes({"\n" * 10**6: 3}), "'\\n\\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str, tmp_path: Path) -> None:
    data, says = HOSTILE[name]
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        message = refusal(path, SafetensorsSource)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert any(part in message for part in says.split("|")), message
    assert peak < 32 << 20


def test_a_long_header_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes(b"{" + b" " * (9 << 20) + b"}"))
    tracemalloc.start()
    try:
        message = refusal(path, SafetensorsSource)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "at most 8388608 are read" in message
    assert peak < 1 << 20


def test_what_memory_a_header_takes(tmp_path: Path) -> None:
    """The costliest JSON: 50 times its length, and 8 MiB of it are read at most."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes(b'{"w":[' + b"{}," * (1 << 18) + b"1]}"))
    tracemalloc.start()
    try:
        assert "its entry must have" in refusal(path, SafetensorsSource)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50 * path.stat().st_size


def test_no_file_a_folder_and_a_pipe(tmp_path: Path) -> None:
    import os

    assert "no such file" in refusal(tmp_path / "a.safetensors", SafetensorsSource)
    (tmp_path / "b.safetensors").mkdir()
    assert "no such file" in refusal(tmp_path / "b.safetensors", SafetensorsSource)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "c.safetensors")
        assert "no such file" in refusal(tmp_path / "c.safetensors", SafetensorsSource)


@pytest.mark.parametrize("header", [{}, {"__metadata__": {}}, {"w": entry("F32", [0], 0, 0)}])
def test_files_without_data(header: Any, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(header))
    assert all(array.size == 0 for array in read_all(SafetensorsSource(tmp_path / "a.safetensors")).values())


STRICTER = {
    "space before it", "two tensors of one name", "two dtypes in one entry", "an entry with more", "many dimensions",
    "an empty tensor too large for NumPy", "a truth value of 2", "8-bit floats", "4-bit floats", "complex numbers",
}  # fmt: skip
"""What the library takes and we do not."""


def test_we_are_stricter_than_the_library_only_where_meant() -> None:
    taken = set()
    for name, (data, _) in HOSTILE.items():
        try:
            safetensors.deserialize(data)
            taken.add(name)
        except safetensors.SafetensorError:
            pass
    assert taken <= STRICTER
