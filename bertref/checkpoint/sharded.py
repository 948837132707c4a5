"""Weights in several files, with an index beside them that says which file holds which tensor.

    model.safetensors.index.json, pytorch_model.bin.index.json
    {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}

The index is a stranger's list of files to open, so a file must lie in the index's own folder, and what the index says
must be what the files hold: every announced tensor where it is announced, no other, none twice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import CheckpointError
from .pickled import PickledSource
from .raw import bytes_of, existing_file, outside, read_range, shown
from .safetensors_file import SafetensorsSource
from .source import StoredTensor
from .strict_json import LONGEST, parse_object

SUFFIX = ".index.json"
MOST_NAMED = 5
"""Names in a message; the rest is counted."""


class ShardedSource:
    """An index and its shards as one `Source`.

    Raises `CheckpointError` if the index is damaged or points outside its folder, if a shard is missing or damaged, or
    if the shards don't hold what the index says.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        suffix = Path(self.path.name.removesuffix(SUFFIX)).suffix
        if suffix not in (".safetensors", ".bin") or not self.path.name.endswith(SUFFIX):
            raise CheckpointError(f"{self.path}: an index is called NAME.safetensors{SUFFIX} or NAME.bin{SUFFIX}")
        self.format = "safetensors" if suffix == ".safetensors" else "pytorch"
        files, total = _read_index(self.path, suffix)
        shards = _open_shards(self.path, sorted(set(files.values())), suffix)
        _check_contents(self.path, files, shards)
        self._shards = {name: shards[file] for name, file in files.items()}
        self._entries = {name: shard.entries[name] for name, shard in self._shards.items()}
        all_bytes = sum(bytes_of(entry.shape, entry.dtype) for entry in self._entries.values())
        self.distinct_bytes = sum(shard.distinct_bytes for shard in shards.values())
        if total is not None and not self.distinct_bytes <= total <= all_bytes:
            raise CheckpointError(
                f"{self.path}: announces {shown(total)} bytes in all, but the tensors of its shards have {all_bytes}; "
                "index and shards don't belong together"
            )

    @property
    def entries(self) -> Mapping[str, StoredTensor]:
        """Name -> entry, in the index's order."""
        return self._entries

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor, from its shard. Raises `CheckpointError` as the shard's reader does."""
        if name not in self._shards:
            raise CheckpointError(f"{self.path}: announces no tensor {shown(name)}")
        return self._shards[name].read(name)


def _read_index(path: Path, suffix: str) -> tuple[dict[str, str], int | None]:
    """Tensor -> file name; and the bytes of all, where the index says."""
    size = existing_file(path)
    if size > LONGEST:
        raise CheckpointError(f"{path}: has {size} bytes; at most {LONGEST} of an index are read")
    try:
        index = parse_object(read_range(path, 0, size, "the index").tobytes())
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    files = index.get("weight_map")
    if not isinstance(files, dict):
        raise CheckpointError(f"{path}: has no weight_map, which says in which file each tensor lies")
    for name, file in files.items():
        if not isinstance(file, str) or not _is_plain(file):
            raise CheckpointError(
                f"{path}: tensor {shown(name)} is to be found in {shown(file)}; only the name of a file in the same "
                "folder is allowed"
            )
        if not file.endswith(suffix):
            raise CheckpointError(f"{path}: tensor {shown(name)} is to be found in {shown(file)}, which is no {suffix}")
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else metadata
    if isinstance(total, float) and total.is_integer():  # so written by libraries that count in parts of bytes
        total = int(total)
    if total is not None and (type(total) is not int or total < 0):
        raise CheckpointError(f"{path}: its total_size is {shown(total)}, not a number of bytes")
    return files, total


def _is_plain(file: str) -> bool:
    """Whether a name can only mean a file beside the index, on any system."""
    return 0 < len(file) <= 255 and file.isprintable() and not file.startswith(".") and not set(file) & set("/\\:")


def _open_shards(path: Path, files: list[str], suffix: str) -> dict[str, SafetensorsSource | PickledSource]:
    missing = [file for file in files if not (path.parent / file).is_file()]
    if missing:
        raise CheckpointError(f"{path}: of {len(files)} shards, these are not there: {_list(missing)}; fetch them")
    for file in files:
        target = outside(path.parent, path.parent / file)
        if target is not None:
            raise CheckpointError(f"{path}: its shard {file} is a link to {target}, outside the folder; refused")
    reader = SafetensorsSource if suffix == ".safetensors" else PickledSource
    return {file: reader(path.parent / file) for file in files}


def _check_contents(
    path: Path, files: Mapping[str, str], shards: Mapping[str, SafetensorsSource | PickledSource]
) -> None:
    announced: dict[str, set[str]] = {file: set() for file in shards}
    for name, file in files.items():
        announced[file].add(name)
    for file, shard in shards.items():
        absent = sorted(announced[file] - set(shard.entries))
        if absent:
            raise CheckpointError(f"{path}: {file} should hold {_list(absent)}, and does not")
        extra = sorted(set(shard.entries) - announced[file])
        twice = [name for name in extra if name in files and name in shards[files[name]].entries]
        if twice:
            raise CheckpointError(f"{path}: {_list(twice)} is in {files[twice[0]]} and in {file}, too")
        if extra:
            raise CheckpointError(f"{path}: {file} holds {_list(extra)}, which the index does not announce for it")


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(shown(name) for name in names[:MOST_NAMED]) + more
