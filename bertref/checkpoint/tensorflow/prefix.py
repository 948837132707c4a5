"""A checkpoint has no file of its own name: `bert_model.ckpt` stands for `bert_model.ckpt.index` and its data files."""

import re
from pathlib import Path

from ...errors import CheckpointError

INDEX = ".index"
STATE = "checkpoint"
"""The text file in which TensorFlow notes the newest of the checkpoints in a folder."""

_NEWEST = re.compile(rb'^\s*model_checkpoint_path\s*:\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)")
_STATE_BYTES = 2**20


def find_prefix(path: Path) -> Path:
    """The prefix that a user means by a prefix, an index file, or a folder.

    A folder has to hold one index, or a state file that names one of them; only the last part of the name that stands
    there is taken, so that a folder can be moved and none leads elsewhere. Raises `CheckpointError` if none is found.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.name.endswith(INDEX) and path.is_file():
        return path.with_name(path.name.removesuffix(INDEX))
    if path.name and index_of(path).is_file():
        return path
    stem = re.sub(r"(?<=.)\.(data-\d{5,}-of-\d{5,}|meta)$", "", path.name)
    if index_of(path.with_name(stem)).is_file():
        raise CheckpointError(f"{path}: is a part of a checkpoint; name it by its prefix, {path.with_name(stem)}")
    raise CheckpointError(f"{path}: no such TensorFlow checkpoint: there is no {index_of(path) if path.name else path}")


def index_of(prefix: Path) -> Path:
    """The index of a checkpoint."""
    return prefix.with_name(prefix.name + INDEX)


def data_of(prefix: Path, shard: int, shards: int) -> Path:
    """A data file of a checkpoint."""
    return prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")


def _in_folder(folder: Path) -> Path:
    prefixes = sorted(index.name.removesuffix(INDEX) for index in folder.glob(f"*{INDEX}") if index.is_file())
    if len(prefixes) == 1:
        return folder / prefixes[0]
    if not prefixes:
        raise CheckpointError(f"{folder}: holds no TensorFlow checkpoint (*{INDEX})")
    newest = _newest(folder / STATE)
    if newest in prefixes:
        return folder / newest
    named = f"the file {STATE!r} names {newest!r}, not one of them" if newest else f"no file {STATE!r} names the newest"
    raise CheckpointError(f"{folder}: holds the checkpoints {', '.join(prefixes[:5])}, and {named}; name one of them")


def _newest(state: Path) -> str:
    """The name of the newest checkpoint, or ""."""
    try:
        with open(state, "rb") as file:
            found = _NEWEST.search(file.read(_STATE_BYTES))
    except OSError:
        return ""
    if not found:
        return ""
    # text format: what is not ASCII stands as the octal numbers of its bytes
    value = _ESCAPE.sub(lambda m: bytes((int(m[1], 8) & 255,)) if m[1].isdigit() else m[1], found[1])
    return re.split(r"[/\\]", value.decode("utf-8", "replace"))[-1]
