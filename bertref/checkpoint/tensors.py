"""safetensors files of NumPy arrays, with errors that say which file and what to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ..errors import CheckpointError


def to_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The file's content; `format: pt` is what Hugging Face's loaders look for."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(contiguous, metadata={"format": "pt"})


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a file. Raises `CheckpointError` if it is missing, truncated or no safetensors file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: is truncated or no safetensors file ({error}); remove it, or the checkpoint that it belongs to"
        ) from None
