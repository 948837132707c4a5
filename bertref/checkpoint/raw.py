"""From bytes in a file to an array, and the checks that every announced tensor must pass first.

Numbers in a header are claims. A claim is believed when the file is long enough for it, so no allocation is ever larger
than the file that asks for it.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CheckpointError

STORED = {
    "bool": np.dtype("?"),
    "uint8": np.dtype("u1"),
    "int8": np.dtype("i1"),
    "uint16": np.dtype("<u2"),
    "int16": np.dtype("<i2"),
    "uint32": np.dtype("<u4"),
    "int32": np.dtype("<i4"),
    "uint64": np.dtype("<u8"),
    "int64": np.dtype("<i8"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
}
"""`Entry.dtype` -> how its elements lie in a file. NumPy has no bfloat16: it is the upper half of a float32."""

MOST_DIMENSIONS = 32
"""What every NumPy can hold; BERT's parameters have one or two."""
LARGEST = (1 << 63) - 1
"""Bytes in an array, by the width of the machine's sizes."""
_LONGEST = 100


def shown(name: object) -> str:
    """A name or another small value from a file, fit for one line of a message: quoted, escaped, cut."""
    if not isinstance(name, str | int | float | None):
        return f"a {type(name).__name__}"
    if isinstance(name, int) and name.bit_length() > 128:
        return "a huge number"
    text = repr(name[: _LONGEST + 1] if isinstance(name, str) else name)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def checked_shape(shape: object) -> tuple[int, ...]:
    """A shape as a tuple; `ValueError` saying what is wrong with it."""
    if not isinstance(shape, list | tuple):
        raise ValueError(f"its shape is {shown(shape)}, not a list of sizes")
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"its shape has {len(shape)} dimensions; at most {MOST_DIMENSIONS} are possible")
    for size in shape:
        if type(size) is not int or size < 0:
            raise ValueError(f"its shape has the size {shown(size)}; sizes are whole numbers from 0")
    return tuple(shape)


def bytes_of(shape: tuple[int, ...], dtype: str) -> int:
    """Bytes of a tensor; `ValueError` if no machine can count them.

    Zeros are left out of the first product: (0, 2**40, 2**40) is empty, and yet NumPy can't hold it.
    """
    size = bound = STORED[dtype].itemsize
    for n in shape:
        size *= n
        bound *= max(n, 1)
        if bound > LARGEST:
            raise ValueError("its shape has more elements than a machine can address")
    return size


def read_range(path: Path, offset: int, size: int, what: str) -> npt.NDArray[np.uint8]:
    """`size` bytes of a file from `offset`. Raises `CheckpointError` naming file and `what` if they are not there."""
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if offset + size > length:
                raise CheckpointError(
                    f"{path}: {what} should end at byte {offset + size}, but the file has {length}; "
                    "it is truncated or has changed: fetch it again"
                )
            data = np.empty(size, np.uint8)
            view = data.data
            file.seek(offset)
            done = 0
            while done < size:
                count = file.readinto(view[done:])
                if not count:
                    raise CheckpointError(f"{path}: {what} could not be read to its end; fetch the file again")
                done += count
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from None
    return data


def decode(data: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    """Bytes as a flat array in the machine's byte order; bfloat16 widened to float32. `ValueError` for a bad bool."""
    array = data.view(STORED[dtype])
    if dtype == "bool" and data.size and data.max() > 1:
        raise ValueError(f"holds a truth value that is neither 0 nor 1 ({data.max()})")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return widened(array) if dtype == "bfloat16" else array


def widened(bits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """bfloat16 bits, as uint16, as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def existing_file(path: Path) -> int:
    """The length of a file. Raises `CheckpointError` if there is none; a pipe or device is none."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        return path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise CheckpointError(f"{path}: can't be read ({error})") from None


def outside(folder: Path, file: Path) -> Path | None:
    """Where a link leads that does not stay in the folder, or in the store that Hugging Face's cache keeps beside it;
    None for what stays.

    In that cache, `MODEL/snapshots/REVISION/FILE` is a link to `MODEL/blobs/HASH`.
    """
    root, target = folder.resolve(), file.resolve()
    stays = target.is_relative_to(root)
    stays |= root.parent.name == "snapshots" and target.parent == root.parent.parent / "blobs"
    return None if stays else target


def hint(head: bytes) -> str:
    """What a file that is not what was expected seems to be, from its first bytes, with a leading semicolon; or ""."""
    if head.startswith(b"version https://git-lfs"):
        return "; it is a Git LFS pointer, not the weights: run `git lfs pull`"
    if head[:1] == b"<":
        return "; it looks like a web page, not the weights: fetch it again"
    if head.startswith(b"PK\x03\x04"):
        return "; it looks like a file of torch.save"
    if head[8:9] == b"{":
        return "; it looks like a safetensors file"
    return ""
