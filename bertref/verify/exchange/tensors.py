"""One tensor of a folder: what the index says of it, whether that can be true, and its values."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint.raw import widened
from ...errors import InputError
from . import containers

DTYPES = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "i1",
    "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "u1", "bool": "?",
}  # fmt: skip
"""Name -> how NumPy reads the bytes; bfloat16 are the upper halves of float32."""

MAX_AXES = 8


@dataclass(frozen=True)
class IndexEntry:
    """What an index says. None stands for what it leaves out; `.npy` and `.safetensors` files say it themselves."""

    name: str
    file: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    offset: int | None = None
    nbytes: int | None = None
    kind: str = ""


@dataclass(frozen=True)
class Located:
    """Where a tensor lies, checked against the file. `fortran` means that the first index runs fastest."""

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    kind: str
    fortran: bool = False

    @property
    def nbytes(self) -> int:
        """The length of the data."""
        return math.prod(self.shape) * np.dtype(DTYPES[self.dtype]).itemsize


def locate(folder: Path, entries: Iterable[IndexEntry], where: Path) -> list[Located]:
    """Every entry with the place of its data. Raises `InputError` that names the tensor and what is wrong with it:
    a duplicate, a path out of the folder, an unknown dtype, a shape that the file can't hold, overlapping data."""
    found: dict[str, Located] = {}
    for entry in entries:
        if entry.name in found:
            raise InputError(f"{where}: {entry.name!r} is listed twice; a tensor may appear once")
        found[entry.name] = _locate(folder, entry, where)
    _check_overlaps(found.values(), where)
    return list(found.values())


def _locate(folder: Path, entry: IndexEntry, where: Path) -> Located:
    start = f"{where}: {entry.name!r}"
    path = _inside(folder, entry.file, start)
    dtype, shape, offset, fortran = entry.dtype, entry.shape, entry.offset, False
    container = containers.read_header(path, entry.name, start)
    if container is not None:
        own = _dtype(container.dtype, start)
        for word, given, held in (("dtype", dtype and _dtype(dtype, start), own), ("shape", shape, container.shape),
                                  ("offset", offset, container.offset)):  # fmt: skip
            if given is not None and given != held:
                raise InputError(f"{start}: the index says {word} {given}, and {path.name} itself {held}; correct one")
        dtype, shape, offset, fortran = own, container.shape, container.offset, container.fortran
    if dtype is None or shape is None:
        raise InputError(f"{start}: the index gives no {'shape' if dtype else 'dtype'}; a raw file needs it")
    located = Located(entry.name, path, _dtype(dtype, start), shape, offset or 0, entry.kind, fortran)
    _check_size(located, entry.nbytes, start)
    return located


def _inside(folder: Path, file: str, start: str) -> Path:
    """The path of a file of the folder; nothing outside it is ever opened."""
    posix, windows = PurePosixPath(file), PureWindowsPath(file)
    unsafe = not file or "\0" in file or posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    path = folder / file
    if unsafe or not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{start}: its file {file!r} is not inside the folder; give a path below {folder}")
    if not path.is_file():
        raise InputError(f"{start}: its file {file} does not exist in {folder}; write it, or remove the line")
    return path


def _dtype(given: str, start: str) -> str:
    name = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
            "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
            "BOOL": "bool"}.get(given, given)  # fmt: skip
    if name in DTYPES:
        return name
    if given.startswith(">"):
        raise InputError(f"{start}: dtype {given!r} is big-endian; write the bytes in little-endian order")
    try:
        name = np.dtype(given).name  # "<f4" and the like
    except (TypeError, ValueError):
        name = ""
    if name not in DTYPES:
        raise InputError(f"{start}: unknown dtype {given!r}; there are {', '.join(DTYPES)}")
    return name


def _check_size(tensor: Located, nbytes: int | None, start: str) -> None:
    shape = f"{tensor.dtype} {tensor.shape}"
    if len(tensor.shape) > MAX_AXES:
        raise InputError(f"{start}: it has {len(tensor.shape)} axes; at most {MAX_AXES} are possible")
    if nbytes is not None and nbytes != tensor.nbytes:
        raise InputError(f"{start}: nbytes is {nbytes}, but {shape} takes {tensor.nbytes}; correct shape or dtype")
    size = tensor.path.stat().st_size
    if tensor.offset + tensor.nbytes > size:
        raise InputError(
            f"{start}: {shape} from byte {tensor.offset} ends at byte {tensor.offset + tensor.nbytes}, but "
            f"{tensor.path.name} has {size}: it is truncated, or shape, dtype or offset are wrong"
        )


def _check_overlaps(tensors: Iterable[Located], where: Path) -> None:
    ordered = sorted((t for t in tensors if t.nbytes), key=lambda t: (str(t.path), t.offset))
    for first, second in itertools.pairwise(ordered):
        if first.path == second.path and first.offset + first.nbytes > second.offset:
            raise InputError(
                f"{where}: {second.name!r} starts at byte {second.offset} of {second.path.name}, before the end of "
                f"{first.name!r} at {first.offset + first.nbytes}; correct an offset or a shape"
            )


def raw(tensor: Located) -> npt.NDArray[Any]:
    """The stored elements in their shape, bits unchanged; bfloat16 as uint16. Raises `InputError` if unreadable."""
    try:
        flat = np.fromfile(tensor.path, DTYPES[tensor.dtype], math.prod(tensor.shape), offset=tensor.offset)
        return flat.reshape(tensor.shape, order="F" if tensor.fortran else "C")
    except (OSError, ValueError) as error:
        raise InputError(f"{tensor.path}: {tensor.name!r} can't be read ({error})") from None


def values(tensor: Located) -> npt.NDArray[Any]:
    """The values; bfloat16, which NumPy lacks, widened to float32 exactly."""
    stored = raw(tensor)
    return widened(stored) if tensor.dtype == "bfloat16" else stored


def is_size(value: Any) -> bool:
    """Whether a field of an index can be a size or an offset."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def is_shape(value: Any) -> bool:
    """Whether a field of an index can be a shape."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(is_size, value))
