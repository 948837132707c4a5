"""Goldens: inputs with the results that independent oracles computed for them, for anyone who implements
BERT.

`manifest.json` has an entry a golden: its file and sha256, who computed it, the command that makes it again,
and for every dtype the tolerance with its reason. The files are safetensors (any language reads them) or
JSON; a safetensors file says in its metadata, under `golden`, what its arrays are.

Nothing here was computed by bertref, and nothing here computes: this package reads files and checks their
sums.
"""

if __name__ != "bertref.golden":
    raise ImportError(f"this package is bertref.golden; it can't be imported as {__name__!r}")

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

FORMAT = 1
FOLDER = Path(__file__).resolve().parent
MANIFEST = FOLDER / "manifest.json"

Arrays = dict[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class Tolerance:
    """The largest |got - expected| allowed, in units of the largest |expected| of the array, and why."""

    relative: float
    reason: str


@dataclass(frozen=True)
class Golden:
    """An entry of the manifest.

    file        below the folder of this package
    oracle      who computed the numbers, and the versions of the libraries it used
    command     makes the file again
    tolerances  by dtype
    """

    name: str
    file: str
    sha256: str
    oracle: Mapping[str, str]
    command: str
    tolerances: Mapping[str, Tolerance]

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return FOLDER / self.file


def read_manifest(path: Path) -> dict[str, Golden]:
    """The entries of a manifest by name. Raises `InputError` if it can't be read or has another format
    version.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: the manifest of the goldens can't be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(
            f"{path}: this bertref reads format {FORMAT} of the goldens' manifest, and this is another"
        )
    return {name: _entry(name, values) for name, values in manifest["goldens"].items()}


def _entry(name: str, values: dict[str, Any]) -> Golden:
    tolerances = {dtype: Tolerance(**tolerance) for dtype, tolerance in values["tolerances"].items()}
    return Golden(**{**values, "name": name, "tolerances": tolerances})


@cache
def _goldens() -> dict[str, Golden]:
    return read_manifest(MANIFEST)


def names() -> tuple[str, ...]:
    """The goldens that there are: "ops/layer_norm", ..."""
    return tuple(_goldens())


def entry(name: str) -> Golden:
    """What the manifest says of a golden. Raises `InputError` for a name that is not in it."""
    if name not in _goldens():
        raise InputError(f"golden {name!r} does not exist; `bertref.golden.names()` lists them all")
    return _goldens()[name]


def verify(name: str) -> None:
    """Raises `InputError` if the golden's file is missing or its sum is not the manifest's."""
    golden = entry(name)
    try:
        content = golden.path.read_bytes()
    except OSError as error:
        raise InputError(f"golden {name!r}: {golden.path} can't be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != golden.sha256:
        raise InputError(
            f"golden {name!r}: {golden.path} is damaged or changed: its sha256 is not the manifest's; "
            f"make it again with: {golden.command}"
        )


def load(name: str) -> Arrays:
    """The arrays of a golden, verified and writable. Raises `InputError` as `verify` does."""
    from safetensors.numpy import load as parse

    verify(name)
    arrays: Arrays = parse(entry(name).path.read_bytes())
    return arrays


def details(name: str) -> Any:
    """What a golden says of itself beside its arrays: for an op, its cases with their options; a JSON
    golden's content.
    """
    verify(name)
    path = entry(name).path
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["golden"])
