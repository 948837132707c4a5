"""Checkpoints that TensorFlow itself wrote, with the values that are in them.

saver      what the original BERT's training writes, and more: TensorFlow 1's sharded Saver, with variables of every
           dtype and variables partitioned along their first or second axis, on two devices: two data files
slices     TensorFlow's saving op by itself: slices that take whole axes, of up to three axes, an empty tensor, and a
           name that is not ASCII
objects    TensorFlow 2's checkpoint of objects, with its string tensors

A golden holds the checkpoint's files as bytes, `files/NAME`, and the values, `values/NAME`; bfloat16 ones widened to
float32, strings not at all. Its metadata give the prefix and each tensor's dtype. TensorFlow is large, and wants an
environment of its own: `pip install -e '.[test]' tensorflow-cpu==2.21.0`.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import common

PREFIX = "model.ckpt"

Values = dict[str, "np.ndarray[Any, Any]"]

NUMBERS = (
    "float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "complex64",
)  # fmt: skip


def tensorflow() -> Any:
    """The library, on the CPU and without its log."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow

    return tensorflow


def random_values(rng: "np.random.Generator", shape: tuple[int, ...], dtype: str) -> "np.ndarray[Any, Any]":
    """Any bits for whole numbers; floats with both zeros, infinities and a NaN at their start."""
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return np.frombuffer(rng.bytes(int(np.prod(shape)) * kind.itemsize), kind).reshape(shape)
    values = rng.standard_normal(shape)
    values.reshape(-1)[:5] = [0.0, -0.0, np.inf, -np.inf, np.nan]
    if kind.kind == "c":
        return (values + 1j * rng.standard_normal(shape)).astype(kind)
    return values.astype(kind)


def part_of(array: "np.ndarray[Any, Any]") -> Callable[..., Any]:
    """An initialiser for variables that are made part by part."""

    def initialise(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        start = partition_info.var_offset if partition_info else [0] * array.ndim
        return tensorflow().constant(array[tuple(slice(a, a + int(n)) for a, n in zip(start, shape, strict=True))])

    return initialise


def save_with_saver(folder: Path) -> Values:
    """Two devices, on each a part of every partitioned variable."""
    tf = tensorflow()
    rng = np.random.default_rng(20)
    plain: Values = {f"dtypes/{dtype}": random_values(rng, (2, 3), dtype) for dtype in NUMBERS}
    plain["dtypes/bool"] = rng.random((3, 2)) < 0.5
    plain["global_step"] = np.asarray(1234567890123, np.int64)
    plain["none"] = np.zeros((0, 4), np.float32)
    halves = random_values(rng, (4, 2), "float32")
    partitioned = {  # (values, parts, axis); TensorFlow writes parts of halves, but does not put them together
        "bert/embeddings/word_embeddings": (random_values(rng, (11, 6), "float32"), 3, 0),
        "columns": (random_values(rng, (3, 200), "float64"), 3, 1),
        "long": (random_values(rng, (16500,), "uint8"), 2, 0),
        "one_part": (random_values(rng, (2, 5), "int32"), 1, 1),
    }
    v1 = tf.compat.v1

    def device(op: Any) -> str:
        return "/cpu:1" if "part_1" in op.name or "float64" in op.name else "/cpu:0"

    with tf.Graph().as_default(), v1.device(device):
        for name, array in plain.items():
            v1.get_variable(name, initializer=tf.constant(array))
        rounded = tf.cast(tf.constant(halves), tf.bfloat16)
        v1.get_variable("dtypes/bfloat16", initializer=rounded)
        for name, (array, parts, axis) in partitioned.items():
            v1.get_variable(
                name, array.shape, array.dtype, initializer=part_of(array),
                partitioner=v1.fixed_size_partitioner(parts, axis=axis),
            )  # fmt: skip
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(v1.global_variables_initializer())
            widened = session.run(tf.cast(rounded, tf.float32))
            v1.train.Saver(sharded=True).save(session, str(folder / PREFIX), write_meta_graph=False, write_state=False)
    return {**plain, "dtypes/bfloat16": widened, **{name: array for name, (array, _, _) in partitioned.items()}}


def save_slices(folder: Path) -> Values:
    """The saving op, with slices written as "start,length", or "-" for all of an axis."""
    tf = tensorflow()
    rng = np.random.default_rng(21)
    values: Values = {
        "whole": random_values(rng, (3, 2), "float32"),
        "über": random_values(rng, (4, 7), "float64"),
        "three": random_values(rng, (2, 130, 2), "int16"),
        "scalar": np.asarray(-1.5, np.float32),
        "none": np.zeros((3, 0), np.int64),
    }
    whole, other, three = values["whole"], values["über"], values["three"]
    saved = [
        ("whole", "3 2 -:-", whole),
        ("über", "4 7 -:0,3", other[:, :3]),
        ("über", "4 7 -:3,4", other[:, 3:]),
        ("three", "2 130 2 0,1:0,100:-", three[:1, :100]),
        ("three", "2 130 2 0,1:100,30:-", three[:1, 100:]),
        ("three", "2 130 2 1,1:-:-", three[1:]),
        ("scalar", "", values["scalar"]),
        ("none", "", values["none"]),
    ]
    tf.raw_ops.SaveV2(
        prefix=str(folder / PREFIX),
        tensor_names=[name for name, _, _ in saved],
        shape_and_slices=[where for _, where, _ in saved],
        tensors=[tf.constant(array) for _, _, array in saved],
    )
    return values


def save_objects(folder: Path) -> Values:
    """A tree of objects: its shape is stored as a string."""
    tf = tensorflow()
    rng = np.random.default_rng(22)
    kernel, bias = random_values(rng, (3, 4), "float32"), random_values(rng, (6,), "float16")
    step = np.asarray(7, np.int64)
    module = tf.Module()
    module.kernel, module.bias, module.label = tf.Variable(kernel), tf.Variable(bias), tf.Variable(["a", "bcd"])
    tf.train.Checkpoint(model=module, step=tf.Variable(step)).write(str(folder / PREFIX))
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    return {f"model/kernel{end}": kernel, f"model/bias{end}": bias, f"step{end}": step}


def content(save: Callable[[Path], Values]) -> bytes:
    """The golden, after TensorFlow's own reader has found the values in what was saved."""
    tf = tensorflow()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = save(folder)
        reader = tf.train.load_checkpoint(str(folder / PREFIX))
        dtypes = {name: dtype.name for name, dtype in sorted(reader.get_variable_to_dtype_map().items())}
        numbers = {name for name, dtype in dtypes.items() if dtype != "string"}
        if numbers != set(values):
            raise AssertionError(f"saved {sorted(values)}, and TensorFlow lists {sorted(numbers)}")
        for name, array in values.items():
            found = reader.get_tensor(name)
            found = found.astype(np.float32) if dtypes[name] == "bfloat16" else found
            if found.dtype != array.dtype or found.shape != array.shape or found.tobytes() != array.tobytes():
                raise AssertionError(f"{name}: TensorFlow reads other values than were saved")
        files = {f"files/{file.name}": np.frombuffer(file.read_bytes(), np.uint8) for file in sorted(folder.iterdir())}
    arrays = {**files, **{f"values/{name}": array for name, array in values.items()}}
    return common.to_bytes(arrays, {"prefix": PREFIX, "dtypes": dtypes})


SAVED: dict[str, Callable[[Path], Values]] = {
    "tensorflow/saver": save_with_saver,
    "tensorflow/slices": save_slices,
    "tensorflow/objects": save_objects,
}


def generate(name: str) -> None:
    """Makes the golden `name` of `SAVED`."""
    common.write(
        name,
        content(SAVED[name]),
        oracle="files that TensorFlow wrote, and the values that it was given, which its own reader finds in them",
        libraries=("tensorflow-cpu", "numpy"),
        tolerances={"any": (0.0, "what was saved is read again bit by bit")},
    )
