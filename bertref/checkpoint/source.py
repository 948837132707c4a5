"""A file of weights as it lies on the disk, before anything in it is interpreted.

Every format has a reader that lists its tensors without reading their data, so that names and shapes can be judged
before memory is spent, and that reads one tensor at a time. Names are the file's own; `bertref.checkpoint.names`
translates them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file announces it. `dtype` is a NumPy name, or "bfloat16"; `file` holds its data."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


class Source(Protocol):
    """What a reader offers. `path` is what the user named or the file found in the folder named; `notes` say what in it
    was passed over."""

    format: str  # "safetensors", "pytorch", "tensorflow"
    path: Path
    notes: tuple[str, ...]

    @property
    def entries(self) -> Mapping[str, StoredTensor]:
        """Name -> entry, in the file's order."""
        ...

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor, its bits unchanged; bfloat16, which NumPy lacks, widened to float32 (exactly).

        Raises `CheckpointError` if the data is missing, truncated or does not have its checksum.
        """
        ...
