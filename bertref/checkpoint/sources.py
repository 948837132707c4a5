"""Finds the weights in what a user names, and opens them with the reader of their format."""

from pathlib import Path

from ..errors import CheckpointError
from .source import Source

SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
INDEX = ".index.json"
CANDIDATES = (SAFETENSORS, SAFETENSORS + INDEX, PICKLED, PICKLED + INDEX)
"""In a folder the first of these is read, as Hugging Face's loaders do; then TensorFlow's `*.index`."""


def open_source(path: Path) -> Source:
    """A folder, a file of weights, or a TensorFlow prefix (`bert_model.ckpt`) -> its reader.

    Raises `CheckpointError` if there is nothing there that can be read, saying what is.
    """
    if path.is_dir():
        for name in CANDIDATES:
            if (path / name).is_file():
                return _reader(path / name)
        if any(path.glob("*.index")):
            return _tensorflow(path)
        raise CheckpointError(f"{path}: holds no weights ({', '.join(CANDIDATES)} or *.ckpt.index); {_inside(path)}")
    if path.is_file() and path.suffix != ".index" and ".ckpt" not in path.name:
        return _reader(path)
    if path.suffix == ".index" or path.with_name(path.name + ".index").is_file():
        return _tensorflow(path)
    raise CheckpointError(
        f"{path}: no such folder or file; name a model's folder, a file of weights, or a .ckpt prefix"
    )


def folder_of(path: Path) -> Path:
    """Where the config and the vocabulary of a checkpoint lie."""
    return path if path.is_dir() else path.parent


def _reader(path: Path) -> Source:
    if path.name.endswith(INDEX):
        from .sharded import ShardedSource

        return ShardedSource(path)
    if path.suffix == ".safetensors":
        from .safetensors_file import SafetensorsSource

        return SafetensorsSource(path)
    if path.suffix in (".bin", ".pt", ".pth"):
        from .pickled import PickledSource

        return PickledSource(path)
    raise CheckpointError(f"{path}: weights are read from .safetensors, .bin, .index.json and .ckpt, not from this")


def _tensorflow(path: Path) -> Source:
    from .tensorflow import TensorFlowSource, find_prefix

    return TensorFlowSource(find_prefix(path))


def _inside(path: Path) -> str:
    if any(path.glob("checkpoint-*")):
        last = sorted(path.glob("checkpoint-*"), key=lambda p: (len(p.name), p.name))[-1]
        return f"training has not finished; its last checkpoint is {last}"
    found = sorted(p.name for p in path.iterdir())[:5]
    return f"it holds {', '.join(found)}" if found else "it is empty"
