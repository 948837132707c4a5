"""Writing the tensors of one kind in one of the file formats."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..records import Arrays
from . import containers
from .tensors import Located

ALIGNMENT = 64
"""Where tensors start in a raw file: at multiples of this, so that a mapped file can be used as it lies."""

Written = list[tuple[Located, str]]


def write_tensors(folder: Path, kind: str, arrays: Arrays, form: str) -> Written:
    """Writes little-endian arrays into `folder` in the format `form`; returns where each of them lies."""
    return WRITERS[form](folder, kind, arrays)


def _located(
    folder: Path, file: str, kind: str, name: str, array: npt.NDArray[Any], offset: int
) -> tuple[Located, str]:
    return Located(name, folder / file, array.dtype.name, array.shape, offset, kind), file


def _bin(folder: Path, kind: str, arrays: Arrays) -> Written:
    written, file = [], f"{kind}.bin"
    with (folder / file).open("wb") as out:
        for name, array in arrays.items():
            out.write(b"\0" * (-out.tell() % ALIGNMENT))
            written.append(_located(folder, file, kind, name, array, out.tell()))
            array.tofile(out)
    return written


def _npy(folder: Path, kind: str, arrays: Arrays) -> Written:
    written = []
    (folder / kind).mkdir(exist_ok=True)
    for name, array in arrays.items():
        file = f"{kind}/{name.replace(':', '.').replace('/', '.')}.npy"
        np.save(folder / file, array, allow_pickle=False)
        header = containers.read_header(folder / file, name, file)
        assert header is not None
        written.append(_located(folder, file, kind, name, array, header.offset))
    return written


def _safetensors(folder: Path, kind: str, arrays: Arrays) -> Written:
    from safetensors.numpy import save_file

    file = f"{kind}.safetensors"
    save_file(dict(arrays), folder / file)
    headers = containers.safetensors_header(folder / file, file)
    return [_located(folder, file, kind, name, array, headers[name].offset) for name, array in arrays.items()]


WRITERS: Mapping[str, Callable[[Path, str, Arrays], Written]] = {
    "bin": _bin,
    "npy": _npy,
    "safetensors": _safetensors,
}
