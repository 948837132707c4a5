"""A file run by onnxruntime, as it is or with values inside of it as outputs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....errors import BackendUnavailable, InputError
from ...records import Arrays, Case
from ..arrays import to_numpy

INPUTS = {
    "input_ids": ("input_ids", "input", "ids", "tokens"),
    "attention_mask": ("attention_mask", "mask", "input_mask"),
    "token_type_ids": ("token_type_ids", "segment_ids", "token_types"),
    "position_ids": ("position_ids",),
}
"""What a file may call them; capitals, and numbers after a colon (`input_ids:0`), don't matter."""


def libraries() -> tuple[Any, Any]:
    """onnx and onnxruntime; `BackendUnavailable` without them."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(f"{error.name} is not installed; pip install 'bertref[onnx]'") from None
    return onnx, onnxruntime


SINGLE = "1"
"""onnxruntime's number of float32: in which it multiplies by stored integers whose other factor is not quantised. Left
to itself it quantises that one, too, which the graph doesn't show."""


class Session:
    """The file at `path`. `inside` are values of its graph that become outputs; {} runs the file untouched. `extra`:
    those among them that a node gives only if it is asked to: name -> (the node's first output, number of this one).

    `wide` shows what is inside in float32, whatever type it has: on a CPU onnxruntime computes float16 nodes in it,
    and hands results on from node to node without rounding them. A float16 output would be another value than the one
    that the next node computes with.
    """

    def __init__(
        self, path: Path, inside: Iterable[str] = (), extra: Mapping[str, tuple[str, int]] | None = None, *,
        wide: bool = False,
    ) -> None:  # fmt: skip
        self._onnx, self._runtime = libraries()
        self._path = path
        self._inside, self._extra = list(dict.fromkeys(inside)), dict(extra or {})
        self._wide = wide
        self._running: Any = None

    def run(self, names: Iterable[str], feed: Mapping[str, Any]) -> Arrays:
        """The values of these names. Raises `InputError` with onnxruntime's reason where it can't be run."""
        asked = list(dict.fromkeys(names))
        try:
            if self._running is None:
                self._running = self._started()
            arrays = self._running.run([self._shown(name) for name in asked], dict(feed))
        except Exception as error:  # onnxruntime's own classes, which share no base
            reason = str(error).partition("\n")[0]
            raise InputError(f"onnx:{self._path}: onnxruntime can't run it: {reason}") from None
        return {name: to_numpy(array, name) for name, array in zip(asked, arrays, strict=True)}

    def _shown(self, name: str) -> str:
        return f"{name}:wide" if self._wide else name

    def _started(self) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3
        source: Any = str(self._path)
        if self._inside:
            source = self._with_outputs()
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", str(self._path.resolve().parent)
            )
            options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", SINGLE)
        return self._runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def _with_outputs(self) -> bytes:
        """The file again, with the values inside as outputs. Its big weights stay where they are."""
        model = self._onnx.load(str(self._path), load_external_data=False)
        nodes = {node.output[0]: node for node in model.graph.node if node.output}
        for name, (first, number) in self._extra.items():
            outputs = nodes[first].output
            outputs.extend([""] * (number + 1 - len(outputs)))
            outputs[number] = name
        there = {value.name for value in model.graph.output}
        if self._wide:
            single = self._onnx.TensorProto.FLOAT
            for name in dict.fromkeys((*self._inside, *there)):
                model.graph.node.append(self._onnx.helper.make_node("Cast", [name], [self._shown(name)], to=single))
        for name in map(self._shown, dict.fromkeys((*self._inside, *there))):
            if name not in there:
                model.graph.output.append(self._onnx.helper.make_empty_tensor_value_info(name))
        return bytes(model.SerializeToString())


def input_of(name: str) -> str | None:
    """Which of `INPUTS` a file means by a name."""
    plain = name.lower().partition(":")[0]
    return next((known for known, others in INPUTS.items() if plain in others), None)


def choices_of(inputs: Iterable[Any]) -> int | None:
    """How many sequences a question has, in a file that takes questions of just so many."""
    shapes = [value.type.tensor_type.shape.dim for value in inputs]
    return next((shape[1].dim_value for shape in shapes if len(shape) == 3 and shape[1].dim_value > 0), None)


def inputs_for(inputs: Iterable[Any], case: Case, subject: str) -> tuple[dict[str, npt.NDArray[Any]], set[str]]:
    """What a file's inputs (`onnx.ValueInfoProto`) are given for a case, and which parts of the case these are.

    Raises `InputError` for an input that isn't known and for lengths that the file doesn't take.
    """
    B, S = case.batch.input_ids.shape
    given = {**dict(case.batch.items()), "position_ids": np.broadcast_to(np.arange(S), (B, S))}
    feed, fed = {}, set()
    for value in inputs:
        name = input_of(value.name)
        if name is None:
            raise InputError(f"{subject}: its input {value.name!r} is not known; name it one of {', '.join(INPUTS)}")
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        array = given[name]
        if len(shape) == 3:
            array = array.reshape(B // case.choices, case.choices, S)
        if len(shape) == array.ndim and any(n not in (0, real) for n, real in zip(shape, array.shape, strict=True)):
            raise InputError(
                f"{subject}: {value.name} is {tuple(shape)} in the file and {array.shape} in the case; export it with "
                f"free lengths, or make a case of {shape[0] or 'any'} rows of {shape[-1] or 'any'} tokens"
            )
        feed[value.name] = np.ascontiguousarray(array, _integer(value.type.tensor_type.elem_type))
        fed.add(name)
    return feed, fed


def _integer(kind: int) -> type[np.generic]:
    """The NumPy type of an input of ids: int32, or int64; masks may be floating-point."""
    return {1: np.float32, 6: np.int32, 9: np.bool_, 10: np.float16, 11: np.float64}.get(kind, np.int64)
