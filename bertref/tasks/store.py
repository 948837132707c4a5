"""Features on the disk: what a part of a data set became, tokenised once, read as memory-mapped arrays.

A unit is what a batch holds one row of: a sequence, or, where an example is a choice, the sequences of its choices. Its
targets are columns, a value (or a row of values) for each unit or one for each token:

    ids.bin        int32, all sequences end to end         second.bin   int32, where each one's second segment begins
    bounds.bin     int64, where each sequence begins, and the end of the last
    NAME.bin       a column of targets
    features.json  format version, numbers, columns, and what was counted on the way

The folder's name is a digest of everything that decides its content: the text, the tokenizer, the settings. It is
written under another name and renamed, so that one which can be seen is complete.
"""

import contextlib
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..plumbing.files import write_file, write_folder
from ..text.encoding import Encoding

FORMAT_VERSION = 1
SUMMARY = "features.json"


class Column(NamedTuple):
    """A column of targets: `scope` says what has a value in it; `width` is 0 for a single value, else those of a
    row."""

    scope: Literal["unit", "token"]
    dtype: str
    width: int = 0


class Unit(NamedTuple):
    """One row of a batch: its sequences, and its targets by the column's name."""

    sequences: Sequence[Encoding]
    targets: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureStore:
    """Features of one part. `width` sequences make a unit; `counted` is what whoever made them had to say; `padding` is
    the model's id behind sequences that are shorter than others of their batch."""

    width: int
    ids: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    bounds: npt.NDArray[np.int64]
    columns: Mapping[str, Column]
    targets: Mapping[str, npt.NDArray[Any]]
    counted: Mapping[str, int]
    padding: int

    def __len__(self) -> int:
        return len(self.second) // self.width

    def lengths(self, units: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """The longest sequence of each unit."""
        rows = self.sequences_of(units)
        found: npt.NDArray[np.int64] = (self.bounds[rows + 1] - self.bounds[rows]).reshape(-1, self.width).max(axis=1)
        return found

    def sequences_of(self, units: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """The numbers of the units' sequences, (units * width,)."""
        return (np.asarray(units, np.int64)[:, None] * self.width + np.arange(self.width)).reshape(-1)

    def arrays(self, units: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[Any]]:
        """What every batch has of these units, padded to the longest: (B, S), or (B, C, S) where a unit has several
        sequences. `example` is the number of the sequence."""
        rows = self.sequences_of(units)
        starts, ends = self.bounds[rows], self.bounds[rows + 1]
        S = int((ends - starts).max(initial=1))
        columns = np.arange(S)
        real = columns < (ends - starts)[:, None]
        places = np.where(real, starts[:, None] + columns, 0)
        found: dict[str, npt.NDArray[Any]] = {
            "input_ids": np.where(real, self.ids[places], self.padding).astype(np.int32),
            "attention_mask": real.astype(np.int32),
            "token_type_ids": (real & (columns >= self.second[rows][:, None])).astype(np.int32),
            "example": rows,
        }
        if self.width == 1:
            return found
        return {name: a.reshape(-1, self.width, *a.shape[1:]) for name, a in found.items()}

    def column(self, name: str, units: npt.NDArray[np.integer], fill: Any = 0) -> npt.NDArray[Any]:
        """A column of targets of these units: (B,), (B, width), or of tokens (B, S), `fill` at the padding."""
        values = self.targets[name]
        if self.columns[name].scope == "unit":
            return np.asarray(values[np.asarray(units)])
        rows = self.sequences_of(units)
        starts, ends = self.bounds[rows], self.bounds[rows + 1]
        places = np.arange(int((ends - starts).max(initial=1)))
        real = places < (ends - starts)[:, None]
        return np.where(real, values[np.where(real, starts[:, None] + places, 0)], fill).astype(values.dtype)


def digest_of(files: Iterable[Path], *settings: Any) -> str:
    """A digest of the files' content and of settings, which are anything that JSON can say."""
    total = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in files:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256")
        total.update(struct.pack("<q", path.stat().st_size) + content.digest())
    return total.hexdigest()[:40]


def cache_folder() -> Path:
    """Where features are kept: $BERTREF_CACHE, else `bertref` in the user's cache folder."""
    given = os.environ.get("BERTREF_CACHE")
    if given:
        return Path(given) / "features"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bertref" / "features"


def open_or_make(
    folder: Path, units: Iterator[Unit], columns: Mapping[str, Column], width: int, counted: Mapping[str, int],
    *, padding: int, note: Callable[[str], None] = lambda text: None,
) -> FeatureStore:  # fmt: skip
    """The features in `folder`; made of `units` if they are not there, or damaged, which `note` is told. `counted` is
    read after the last unit; `padding` is the id that batches are padded with.

    Raises `InputError` if the folder can't be written, and whatever `units` raises, with nothing left behind.
    """
    if folder.is_dir():
        try:
            return read(folder, padding)
        except InputError as error:
            note(f"{error}; they are made again.")
            shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: can't be made ({error.strerror or error}); BERTREF_CACHE names another folder"
        ) from None
    write_folder(folder, lambda temporary: _write(temporary, units, columns, width, counted))
    return read(folder, padding)


def read(folder: Path, padding: int) -> FeatureStore:
    """The features that `open_or_make` wrote. Raises `InputError` if they are damaged."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if summary["version"] != FORMAT_VERSION:
            raise ValueError(f"format version {summary['version']}")
        columns = {name: Column(*values) for name, values in summary["columns"].items()}
        targets = {
            name: _mapped(folder / f"{name}.bin", c.dtype, (-1, c.width) if c.width else (-1,))
            for name, c in columns.items()
        }
        ids, second = _mapped(folder / "ids.bin", "<i4"), _mapped(folder / "second.bin", "<i4")
        bounds = _mapped(folder / "bounds.bin", "<i8")
        rows = {"unit": summary["sequences"] // summary["width"], "token": summary["tokens"]}
        if (
            len(ids) != summary["tokens"] or len(second) != summary["sequences"] or len(bounds) != len(second) + 1
            or any(len(targets[name]) != rows[column.scope] for name, column in columns.items())
        ):  # fmt: skip
            raise ValueError("its files are cut off")
        return FeatureStore(summary["width"], ids, second, bounds, columns, targets, summary["counted"], padding)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder}: the cached features are damaged ({error})") from None


def _mapped(path: Path, dtype: str, shape: tuple[int, ...] = (-1,)) -> npt.NDArray[Any]:
    if not path.stat().st_size:
        return np.zeros(0, dtype).reshape(tuple(0 if n == -1 else n for n in shape))
    return np.memmap(path, dtype, "r").reshape(shape)


def _write(
    folder: Path, units: Iterator[Unit], columns: Mapping[str, Column], width: int, counted: Mapping[str, int]
) -> None:
    tokens = sequences = 0
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context((folder / f"{name}.bin").open("wb"))
            for name in ("ids", "second", "bounds", *columns)
        }
        files["bounds"].write(struct.pack("<q", 0))
        for unit in units:
            if len(unit.sequences) != width:
                raise ValueError(f"a unit of {len(unit.sequences)} sequences among units of {width}")
            for ids, types in unit.sequences:
                tokens += len(ids)
                sequences += 1
                files["ids"].write(np.asarray(ids, "<i4").tobytes())
                files["second"].write(struct.pack("<i", types.index(1) if 1 in types else len(ids)))
                files["bounds"].write(struct.pack("<q", tokens))
            for name, column in columns.items():
                files[name].write(np.asarray(unit.targets[name], column.dtype).tobytes())
    summary = {
        "format": "bertref-features", "version": FORMAT_VERSION, "width": width, "sequences": sequences,
        "tokens": tokens, "columns": {name: list(c) for name, c in columns.items()}, "counted": dict(counted),
    }  # fmt: skip
    write_file(folder / SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())
