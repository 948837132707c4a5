"""Real TensorFlow reads what bertref writes. A command, for an environment that has TensorFlow as well as bertref:

    pip install -e . tensorflow-cpu==2.21.0
    python -m tests.checkpoint.tensorflow.check_with_tensorflow [PREFIX ...]

It writes a checkpoint with tensors of every dtype and shape, one whose index has several blocks, and the checkpoints
named again, has TensorFlow's checkpoint reader and its restoring op read them all, and has TensorFlow write the same
tensors: the files are the same, byte by byte. TensorFlow is too large for the tests' environment; the goldens hold
what it wrote. Exit code 0: every bit arrived.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bertref.checkpoint.tensorflow import TensorFlowSource, write_bundle
from bertref.checkpoint.tensorflow.bundle import DTYPES

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

Tensors = Mapping[str, "np.ndarray[Any, Any]"]


def every_kind() -> Tensors:
    """Every dtype in several shapes, not all of them contiguous; random bits, so NaNs and subnormals occur."""
    import ml_dtypes

    rng = np.random.default_rng(3)
    tensors: dict[str, np.ndarray[Any, Any]] = {"global_step": np.asarray(10**12, np.int64), "ünïcode/名": np.ones(3)}
    for name in DTYPES.values():
        dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        for shape in ((), (0, 3), (5,), (2, 3, 4)):
            count = int(np.prod(shape))
            content = rng.bytes(count * dtype.itemsize)
            flat = rng.random(count) < 0.5 if name == "bool" else np.frombuffer(content, dtype)
            tensors[f"{name}/{len(shape)}"] = flat.reshape(shape)
        tensors[f"{name}/transposed"] = tensors[f"{name}/3"].T
    return tensors


def many() -> Tensors:
    """More names than one block of the index takes."""
    stem = "bert/encoder/" + "a_long_scope/" * 20
    return {f"{stem}{number:04d}/{number * 7919 % 1000}": np.full(2, number, np.int32) for number in range(6000)}


def check(title: str, prefix: Path, tensors: Tensors) -> bool:
    """Whether TensorFlow finds exactly these tensors."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    wrong = sorted(set(tensors) ^ set(shapes))
    names = [name for name in tensors if name in shapes]
    restored = tf.raw_ops.RestoreV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), dtypes=[dtypes[n] for n in names]
    )
    for name, second in zip(names, restored, strict=True):
        array = tensors[name]
        for found in (reader.get_tensor(name), second.numpy()):
            same = found.dtype.name == array.dtype.name and tuple(found.shape) == array.shape
            if not same or found.tobytes() != array.tobytes():
                wrong.append(name)
    size = prefix.with_name(prefix.name + ".index").stat().st_size
    print(f"{title}: {len(tensors)} tensors, index of {size} bytes: {len(wrong)} differ {wrong[:3] or ''}")
    return not wrong


def same_files(prefix: Path, tensors: Tensors) -> bool:
    """Whether TensorFlow's saving op makes the files at `prefix` of these tensors."""
    import tensorflow as tf

    theirs = prefix.with_name("theirs")
    ordered = sorted(tensors, key=str.encode)
    tf.raw_ops.SaveV2(
        prefix=str(theirs), tensor_names=ordered, shape_and_slices=[""] * len(ordered),
        tensors=[tf.constant(tensors[name]) for name in ordered],
    )  # fmt: skip
    endings = (".index", ".data-00000-of-00001")
    same = [Path(f"{prefix}{end}").read_bytes() == Path(f"{theirs}{end}").read_bytes() for end in endings]
    print(f"  TensorFlow writes the same index: {same[0]}, the same data: {same[1]}")
    return all(same)


def main(prefixes: list[str]) -> int:
    """Checks all; returns the exit code."""
    import tensorflow as tf

    print("TensorFlow", tf.__version__)
    written: dict[str, Tensors] = {"every dtype": every_kind(), "many names": many()}
    for prefix in prefixes:
        source = TensorFlowSource(Path(prefix))
        written[f"{prefix}, written again"] = {name: source.read(name) for name in source.entries}
    right = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, tensors) in enumerate(written.items()):
            prefix = Path(folder) / f"{number}.ckpt"
            write_bundle(prefix, tensors)
            right += [check(title, prefix, tensors), same_files(prefix, tensors)]
    for prefix in prefixes:  # and TensorFlow reads what bertref reads
        source = TensorFlowSource(Path(prefix))
        right.append(check(prefix, Path(prefix), {name: source.read(name) for name in source.entries}))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
