"""Files of weights that are not read here: what each is, and what to do about it."""

import os
import re
from pathlib import Path

from .raw import existing_file, hint, read_range

_CONVERT = "open it with the program that wrote it and save the model as a Hugging Face folder"
_TRANSFORMERS_4 = "transformers 4 turns it into a Hugging Face folder: BertModel.from_pretrained(FOLDER, {}=True)"

KINDS: dict[str, str] = {
    ".h5": f"is a Keras file (HDF5) of TensorFlow 2; {_TRANSFORMERS_4.format('from_tf')}",
    ".keras": f"is a Keras archive of TensorFlow 2 or 3; {_CONVERT}",
    ".msgpack": f"is a Flax file; {_TRANSFORMERS_4.format('from_flax')}",
    ".onnx": "is an ONNX graph, which is not read as weights; bertref verify onnx:FILE runs it",
    ".pb": f"is a graph of TensorFlow's (SavedModel); {_CONVERT}",
    ".tflite": f"is a TensorFlow Lite graph; {_CONVERT}",
    ".gguf": f"is a file of llama.cpp's; {_CONVERT}",
    ".npz": f"is an archive of NumPy arrays; {_CONVERT}",
    ".ot": f"is a file of rust-bert's; {_CONVERT}",
    ".mlmodel": f"is a Core ML model; {_CONVERT}",
}
"""By the end of the name."""
ALIASES = {".hdf5": ".h5"}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_TABLE_END = 0xDB4775248B80FB57.to_bytes(8, "little")
"""The last bytes of a table of TensorFlow's: an index, or a whole checkpoint of its first format."""
_PART = re.compile(r"(.+)\.(?:data-\d{5,}-of-\d{5,}|meta)")


def foreign_in(folder: Path) -> Path | None:
    """A file in a folder that holds weights in a form that is not read."""
    return next((file for file in sorted(folder.iterdir()) if _kind(file) and file.is_file()), None)


def obstacle(path: Path) -> str:
    """What there is under a name where a file is expected, and none is."""
    if path.is_dir():
        return "is a folder, and a file is expected"
    if path.exists():
        return "is a pipe or a device; copy it into a file first"
    return f"is a link to {os.readlink(path)}, which is not there; fetch it again"


def described(path: Path) -> str:
    """What a file is that no reader takes, and what to do: the end of a sentence that begins with its name.

    Raises `CheckpointError` if it can't be read.
    """
    size = existing_file(path)
    head = read_range(path, 0, min(size, 64), "the beginning").tobytes()
    if head.startswith(_HDF5):
        return KINDS[".h5"]
    part = _PART.fullmatch(path.name)
    if part:
        return _part(path.with_name(part[1]))
    if _kind(path):
        return KINDS[_kind(path)]
    if size >= 8 and read_range(path, size - 8, 8, "the end").tobytes() == _TABLE_END:
        return (
            "is a TensorFlow checkpoint of the first format, in one file; open it with TensorFlow and write it again "
            "(tf.compat.v1.train.Saver)"
        )
    known = ".safetensors, .bin, .pt, .index.json and .ckpt (of torch.save, or TensorFlow's prefix)"
    return f"weights are read from {known}, not from this{hint(head)}"


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    suffix = ALIASES.get(suffix, suffix)
    return suffix if suffix in KINDS else ""


def _part(prefix: Path) -> str:
    index = prefix.with_name(prefix.name + ".index")
    if index.is_file():
        return f"is a part of a checkpoint; name it by its prefix, {prefix}"
    return f"is a part of a TensorFlow checkpoint, whose {index.name} is not there; put it beside this one"
