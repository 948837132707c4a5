"""The headers of `.npy` and `.safetensors` files: which tensor is where. The data is read like any raw data."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from ...errors import InputError


@dataclass(frozen=True)
class Header:
    """What the file says of one tensor; `offset` counts from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    fortran: bool = False


def read_header(path: Path, name: str, start: str) -> Header | None:
    """The header of the tensor `name`; None for a raw file. `start` begins the message of the `InputError` raised for
    a damaged file or a tensor that isn't in it."""
    if path.suffix == ".npy":
        return _npy(path, start)
    if path.suffix == ".safetensors":
        found = safetensors_header(path, start)
        if name not in found:
            raise InputError(f"{start}: {path.name} holds no tensor of this name")
        return found[name]
    return None


def _npy(path: Path, start: str) -> Header:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = read(file)
            return Header(dtype.str if dtype.str[0] == ">" else dtype.name, shape, file.tell(), fortran)
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, TokenError, TypeError) as error:
        raise InputError(f"{start}: {path.name} is truncated or no .npy file ({error})") from None


def safetensors_header(path: Path, start: str) -> dict[str, Header]:
    """All tensors of a file. Raises `InputError` if its header can't be read."""
    stat = path.stat()
    try:
        return _safetensors(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{start}: {path.name} is truncated or no .safetensors file ({error})") from None


@lru_cache(maxsize=8)
def _safetensors(path: Path, size: int, changed: int) -> dict[str, Header]:
    """Cached because an index asks for every tensor of the file in turn; `changed` tells versions apart."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            raise ValueError(f"its header should have {length} bytes")
        header: dict[str, Any] = json.loads(file.read(length))
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            shape = tuple(int(length) for length in entry["shape"])
            begin = int(entry["data_offsets"][0])
            if begin < 0 or any(n < 0 for n in shape):
                raise ValueError(f"{name}: negative size")
            found[name] = Header(str(entry["dtype"]), shape, 8 + length + begin)
    return found
