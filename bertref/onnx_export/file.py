"""A recorded graph as an ONNX file.

Weights are stored under their names and once each. A file can't exceed 2 GiB (the limit of its format, protobuf), so
more than that lies beside it: MODEL.onnx.data, to which the file refers by name; the two belong together.
"""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailable, InputError
from ..plumbing.files import write_chunks, write_file
from .graph import OPSET, OnnxGraph, OnnxValue

LARGEST = 2**31 - 2**26
"""Bytes of weights that one file can hold, with room for the graph."""
ALIGNMENT = 4096
"""Where a weight may start in the file beside: on a page, so that it can be mapped."""


def library() -> Any:
    """The package onnx. Raises `BackendUnavailable` if it is not installed."""
    try:
        import onnx
    except ImportError:
        raise BackendUnavailable(
            "writing ONNX files needs the package onnx, which is not installed: pip install 'bertref[onnx]'"
        ) from None
    return onnx


def write(
    path: Path,
    graph: OnnxGraph,
    outputs: Mapping[str, OnnxValue],
    params: Mapping[str, npt.NDArray[Any]],
    about: Mapping[str, str],
    producer: tuple[str, str],
) -> None:
    """Writes the part of the graph that the outputs need. Raises `InputError` if the disk refuses."""
    onnx = library()
    model = _skeleton(onnx, graph, outputs, about, producer)
    onnx.checker.check_model(model, full_check=True)  # names, types and shapes; the weights are still arguments
    del model.graph.input[len(graph.inputs) :]
    if sum(map(_size, graph.parameters)) <= LARGEST:
        for value in graph.parameters:
            model.graph.initializer.append(_tensor(onnx, value.name, _stored(params[value.name], value)))
    else:
        beside = path.with_name(path.name + ".data")
        model.graph.initializer.extend(_references(onnx, graph.parameters, beside.name))
        _remove(path)  # it may refer to the weights that are replaced now
        write_chunks(beside, (_page(_stored(params[value.name], value)) for value in graph.parameters))
    write_file(path, model.SerializeToString())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: can't be replaced ({error.strerror}); choose another place") from error


def _skeleton(
    onnx: Any, graph: OnnxGraph, outputs: Mapping[str, OnnxValue], about: Mapping[str, str], producer: tuple[str, str]
) -> Any:
    """The model with its weights as further inputs, without their values."""
    helper = onnx.helper
    renamed, aliases = _named(outputs)
    nodes, read = graph.needed(value.name for value in outputs.values())
    records = [
        helper.make_node(
            node.op,
            [renamed.get(name, name) for name in node.inputs],
            [renamed.get(node.output, node.output)],
            name=node.output,
            **_attributes(onnx, node.attributes),
        )
        for node in nodes
    ]
    records += [helper.make_node("Identity", [renamed.get(old, old)], [new], name=new) for new, old in aliases.items()]
    constants = [_tensor(onnx, name, array) for name, array in graph.constants.items() if name in read]
    arguments = [_described(onnx, value.name, value) for value in (*graph.inputs, *graph.parameters)]
    results = [_described(onnx, name, value) for name, value in outputs.items()]
    model = helper.make_model(
        helper.make_graph(records, "bert", arguments, results, initializer=constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", OPSET)]),
        producer_name=producer[0],
        producer_version=producer[1],
    )
    helper.set_model_props(model, dict(about))
    return model


def _named(outputs: Mapping[str, OnnxValue]) -> tuple[dict[str, str], dict[str, str]]:
    """Recorded name -> the output's name; and output -> recorded name where a value is given out twice."""
    renamed: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for name, value in outputs.items():
        if renamed.setdefault(value.name, name) != name:
            aliases[name] = value.name
    return renamed, aliases


def _attributes(onnx: Any, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """`to` of a Cast names its type; all other attributes are numbers."""
    return {name: _type(onnx, np.dtype(value)) if name == "to" else value for name, value in pairs}


def _described(onnx: Any, name: str, value: OnnxValue) -> Any:
    shape = [dim if isinstance(dim, int) else str(dim) for dim in value.shape]
    return onnx.helper.make_tensor_value_info(name, _type(onnx, value.dtype), shape)


def _type(onnx: Any, dtype: np.dtype[Any]) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(dtype))


def _tensor(onnx: Any, name: str, array: npt.NDArray[Any]) -> Any:
    little = np.asarray(array, array.dtype.newbyteorder("<"))
    return onnx.TensorProto(name=name, dims=array.shape, data_type=_type(onnx, array.dtype), raw_data=little.tobytes())


def _references(onnx: Any, values: Iterable[OnnxValue], location: str) -> Iterable[Any]:
    """Tensors whose numbers lie in the file beside, one after the other."""
    start = 0
    for value in values:
        place = {"location": location, "offset": str(start), "length": str(_size(value))}
        yield onnx.TensorProto(
            name=value.name,
            dims=value.shape,
            data_type=_type(onnx, value.dtype),
            data_location=onnx.TensorProto.EXTERNAL,
            external_data=[onnx.StringStringEntryProto(key=key, value=text) for key, text in place.items()],
        )
        start += _aligned(_size(value))


def _stored(array: npt.NDArray[Any], value: OnnxValue) -> npt.NDArray[Any]:
    """A weight in the type of the file, made when it is written, so that there is one copy at a time."""
    return np.asarray(array, value.dtype)


def _page(array: npt.NDArray[Any]) -> bytes:
    """A weight as it lies in the file beside, little-endian, row by row."""
    little = np.asarray(array, array.dtype.newbyteorder("<"))
    return little.tobytes().ljust(_aligned(array.nbytes), b"\0")


def _size(value: OnnxValue) -> int:
    return prod(dim for dim in value.shape if isinstance(dim, int)) * value.dtype.itemsize


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
