"""Writes a checkpoint: the data first and the index last, without which it is none."""

import contextlib
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import CheckpointError, InputError
from ...plumbing.crc32c import masked_crc32c
from ...plumbing.files import write_chunks, write_file
from . import bundle, slices, sstable
from .bundle import BundleEntry
from .prefix import data_of, index_of

_NUMBERS = {name: number for number, name in bundle.DTYPES.items()}


def write_bundle(prefix: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes `PREFIX.index` and `PREFIX.data-00000-of-00001`, as TensorFlow's savers do.

    The arrays may have any shape, and hold NumPy's numbers or ml_dtypes' bfloat16. Two files can't be replaced at
    once, so a checkpoint that is there is never touched: `CheckpointError` is raised, as for a name or a dtype that
    TensorFlow can't have. Raises `InputError` if the disk refuses; nothing is left behind then.
    """
    index, data = index_of(prefix), data_of(prefix, 0, 1)
    if index.exists():
        raise CheckpointError(f"{index}: exists; remove the checkpoint, or choose another name")
    ordered = sorted(((_key(prefix, name), name, array) for name, array in tensors.items()), key=itemgetter(0))
    items = [(b"", bundle.header())]
    offset = 0
    for key, name, array in ordered:
        entry = _entry(prefix, name, array, offset)
        items.append((key, bundle.encode_entry(entry)))
        offset += entry.size
    try:
        write_chunks(data, (_stored(array).data for _, _, array in ordered))
        write_file(index, sstable.build(items))
    except InputError:
        with contextlib.suppress(OSError):
            data.unlink(missing_ok=True)
        raise


def _key(prefix: Path, name: str) -> bytes:
    key = name.encode("utf-8", "replace")
    if not key or key.decode("utf-8") != name or key.startswith(slices.PREFIX):
        raise CheckpointError(f"{prefix}: {name!r} can't be the name of a tensor")
    return key


def _entry(prefix: Path, name: str, array: npt.NDArray[Any], offset: int) -> BundleEntry:
    if array.dtype.name not in _NUMBERS:
        raise CheckpointError(f"{prefix}: tensor {name!r} has the dtype {array.dtype}, which is not written")
    checksum = masked_crc32c(_stored(array).data)
    return BundleEntry(_NUMBERS[array.dtype.name], array.shape, 0, offset, array.nbytes, checksum)


def _stored(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(bytes,) of the values, little-endian and row by row; a view where they lie like that."""
    if array.dtype.name == "bfloat16":
        array = array.view(np.uint16)  # NumPy can't change the byte order of a dtype that is not its own
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
