"""Writing goldens: the files, and their entries in the manifest."""

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

FORMAT = 1
FOLDER = Path(__file__).resolve().parent.parent
COMMAND = "python -m bertref.golden.generate"

Tolerances = dict[str, tuple[float, str]]
"""dtype -> (largest error in units of the array's largest element, why)."""


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames: the file is either the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_bytes(arrays: dict[str, "np.ndarray[Any, Any]"], details: Any) -> bytes:
    """A safetensors file: the arrays, and `details` as JSON in its metadata (one key: several have no fixed
    order).
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    # ascontiguousarray makes a scalar one-dimensional
    shaped = {name: array.reshape(arrays[name].shape) for name, array in contiguous.items()}
    return save(shaped, metadata={"golden": json.dumps(details, sort_keys=True, allow_nan=False)})


def write(
    name: str,
    content: bytes,
    *,
    suffix: str = ".safetensors",
    oracle: str,
    libraries: tuple[str, ...],
    tolerances: Tolerances,
    command: str | None = None,
    folder: Path = FOLDER,
) -> None:
    """Writes the golden `name` ("ops/layer_norm" -> data/ops_layer_norm.safetensors) and its entry in the
    manifest.

    `oracle` says how the numbers were computed, `libraries` with what (their versions are recorded).
    """
    file = f"data/{name.replace('/', '_')}{suffix}"
    write_atomically(folder / file, content)
    entry = {
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "oracle": {"method": oracle, **{library: version(library) for library in libraries}},
        "command": command or f"{COMMAND} {name}",
        "tolerances": {
            dtype: {"relative": relative, "reason": reason}
            for dtype, (relative, reason) in tolerances.items()
        },
    }
    path = folder / "manifest.json"
    goldens = json.loads(path.read_text(encoding="utf-8"))["goldens"] if path.exists() else {}
    manifest = {"format": FORMAT, "goldens": dict(sorted({**goldens, name: entry}.items()))}
    write_atomically(path, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
