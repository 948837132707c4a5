"""Builders of weight files: good ones by the real libraries, and bad ones byte by byte."""

import collections
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bertref.checkpoint.source import Source
from bertref.errors import CheckpointError

MAGIC = 0x1950A86A20F9469CFC6C


def refusal(path: Path, reader: Any) -> str:
    """The message with which a reader refuses a file, at the latest while it reads the tensors; one or two lines."""
    with pytest.raises(CheckpointError) as error:
        read_all(reader(path))
    message = str(error.value)
    assert str(path.parent) in message
    assert message.count("\n") <= 1
    assert message.isprintable() or message.replace("\n", "").isprintable()
    assert len(message) < 700 + 2 * len(str(path))
    return message


def read_all(source: Source) -> dict[str, npt.NDArray[Any]]:
    """Every tensor; what was announced is what is read."""
    arrays = {name: source.read(name) for name in source.entries}
    for name, array in arrays.items():
        entry = source.entries[name]
        assert array.shape == entry.shape
        assert array.dtype.name == ("float32" if entry.dtype == "bfloat16" else entry.dtype)
        assert array.flags.c_contiguous
        assert array.flags.writeable
    return arrays


def same_bits(array: npt.NDArray[Any], tensor: torch.Tensor) -> bool:
    """Whether an array is a tensor's equal, bit for bit; of bfloat16, once both are widened."""
    theirs = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().contiguous().numpy()
    return array.dtype == theirs.dtype and array.shape == theirs.shape and array.tobytes() == theirs.tobytes()


# safetensors


def safetensors_bytes(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file with this header: JSON of a value, or its bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# torch.save


class Pid(NamedTuple):
    """What a pickle refers to outside itself."""

    value: Any


class Call:
    """A call in a pickle, made by whoever executes it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value.value if isinstance(value, Pid) else None

    def reducer_override(self, value: Any) -> Any:
        return (value.function, value.arguments) if isinstance(value, Call) else NotImplemented


def dumps(value: Any, protocol: int = 2) -> bytes:
    """The pickle of a value with `Pid` and `Call` in it."""
    file = io.BytesIO()
    _Pickler(file, protocol, fix_imports=False).dump(value)
    return file.getvalue()


def storage(key: Any = "0", numel: Any = 4, kind: Any = torch.FloatStorage, *more: Any) -> Pid:
    return Pid(("storage", kind, key, "cpu", numel, *more))


def tensor(
    where: Any = None, offset: Any = 0, shape: Any = (2, 2), stride: Any = (2, 1), *more: Any, function: Any = None
) -> Call:
    """A tensor as torch pickles it; whatever is given may be wrong."""
    hooks: Any = collections.OrderedDict()
    rebuild = function or torch._utils._rebuild_tensor_v2
    return Call(rebuild, storage() if where is None else where, offset, shape, stride, False, hooks, *more)


FOUR = np.arange(4, dtype=np.float32).tobytes()


def zip_bytes(
    content: Any,
    storages: Mapping[str, bytes] | None = None,
    *,
    protocol: int = 2,
    extra: Iterable[Any] = (),
    **how: Any,
) -> bytes:
    """A zip of torch.save's form; `content` is a value or a pickle's bytes, `extra` entries follow."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", content if isinstance(content, bytes) else dumps(content, protocol), **how)
        for key, data in (storages if storages is not None else {"0": FOUR}).items():
            archive.writestr(f"w/data/{key}", data, **how)
        for name, data in [("w/version", b"3\n"), *extra]:
            archive.writestr(name, data)
    return file.getvalue()


def legacy_bytes(
    content: Any,
    storages: Mapping[str, tuple[int, bytes]] | None = None,
    *,
    magic: Any = MAGIC,
    version: Any = 1001,
    system: Any = None,
    keys: Any = None,
) -> bytes:
    """A file of torch's format before 1.6; storages are counts and bytes."""
    storages = {"0": (4, FOUR)} if storages is None else storages
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}} if system is None else system
    parts = [dumps(magic), dumps(version), dumps(system)]
    parts.append(content if isinstance(content, bytes) else dumps(content))
    parts.append(dumps(list(storages) if keys is None else keys))
    parts += [struct.pack("<q", count) + data for count, data in storages.values()]
    return b"".join(parts)


def legacy_tensor(*arguments: Any, **changes: Any) -> Call:
    """`tensor` with the storage as the format before 1.6 refers to it."""
    return tensor(storage("0", 4, torch.FloatStorage, None), *arguments, **changes)
