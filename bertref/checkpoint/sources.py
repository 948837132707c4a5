"""Finds the weights in what a user names, and opens them with the reader of their format."""

from pathlib import Path

from ..errors import CheckpointError
from .foreign import described, foreign_in, obstacle
from .source import Source

SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
INDEX = ".index.json"
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".index", ".onnx", ".h5")
"""Of files of weights, and of what is taken for them."""
CANDIDATES = (SAFETENSORS, SAFETENSORS + INDEX, PICKLED, PICKLED + INDEX)
"""In a folder the first of these is read, as Hugging Face's loaders do; then TensorFlow's `*.index`; then `*.ckpt`."""


def open_source(path: Path) -> Source:
    """A folder, a file of weights, or a TensorFlow prefix (`bert_model.ckpt`) -> its reader.

    A file `NAME.ckpt` is one of torch.save, as Lightning writes it; TensorFlow's checkpoints have no file of that name,
    and stand for `NAME.ckpt.index`. Raises `CheckpointError` if nothing there can be read, saying what is there.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return _reader(path)
    if path.with_name(path.name + ".index").is_file():
        return _tensorflow(path)
    if path.exists() or path.is_symlink():
        raise CheckpointError(f"{path}: {obstacle(path)}")
    raise CheckpointError(
        f"{path}: no such folder or file; name a model's folder, a file of weights, or a .ckpt prefix{_download(path)}"
    )


def _download(path: Path) -> str:
    """How to get a model, where what is named looks like one of Hugging Face's hub: NAME or OWNER/NAME."""
    owned = len(path.parts) == 2 and not path.parent.exists()
    if path.is_absolute() or path.suffix in ENDINGS or not (len(path.parts) == 1 or owned):
        return ""
    return f".\nNothing is downloaded; for a model of Hugging Face: hf download {path} --local-dir {path.name}"


def folder_of(path: Path) -> Path:
    """Where the config and the vocabulary of a checkpoint lie."""
    return path if path.is_dir() else path.parent


def _in_folder(path: Path) -> Source:
    for name in CANDIDATES:
        if (path / name).is_file():
            return _reader(path / name)
        if (path / name).exists() or (path / name).is_symlink():
            raise CheckpointError(f"{path / name}: {obstacle(path / name)}")
    if any(path.glob("*.index")):
        return _tensorflow(path)
    found = sorted(file for file in path.glob("*.ckpt") if file.is_file())
    if len(found) == 1:
        return _reader(found[0])
    if found:
        names = ", ".join(file.name for file in found[:5])
        raise CheckpointError(f"{path}: holds the checkpoints {names}; name one of them")
    raise CheckpointError(f"{path}: holds no weights ({', '.join(CANDIDATES)} or *.ckpt); {_inside(path)}")


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
    if path.suffix == ".ckpt":
        from .pickled import PickledSource
        from .torch_file import is_torch_file

        if is_torch_file(path):
            return PickledSource(path, skip=True)
    if path.suffix == ".index":
        return _tensorflow(path)
    raise CheckpointError(f"{path}: {described(path)}")


def _tensorflow(path: Path) -> Source:
    from .names import from_tensorflow
    from .tensorflow import OBJECT_GRAPH, TensorFlowSource, find_prefix

    source = TensorFlowSource(find_prefix(path))
    if OBJECT_GRAPH in source.entries and not any(map(from_tensorflow, source.entries)):
        raise CheckpointError(
            f"{source.path}: is an object checkpoint of TensorFlow 2 (tf.train.Checkpoint, Keras): it names variables "
            "by the attributes of Python objects, not as the original BERT does.\nOpen it with the code that wrote it "
            "and save the model as a Hugging Face folder, or with tf.compat.v1.train.Saver"
        )
    return source


def _inside(path: Path) -> str:
    if any(path.glob("checkpoint-*")):
        last = sorted(path.glob("checkpoint-*"), key=lambda p: (len(p.name), p.name))[-1]
        return f"training has not finished; its last checkpoint is {last}"
    other = foreign_in(path)
    if other is not None:
        return f"its {other.name} {described(other)}"
    found = sorted(p.name for p in path.iterdir())[:5]
    return f"it holds {', '.join(found)}" if found else "it is empty"
