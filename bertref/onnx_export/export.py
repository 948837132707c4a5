"""The export itself: the model, run once on arrays that record."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..config import BertConfig, Numerics, config_to_dict, numerics_to_dict
from ..errors import InputError
from ..heads import DECODER, check, labelled, parameter_shapes
from ..layers import Settings
from ..layout import Inputs, Layout
from ..opset import Kernel, OpSet
from .answers import answers
from .file import library, write
from .graph import Length, OnnxGraph, OnnxValue
from .kernels import KERNELS
from .namespace import RecordingNamespace
from .recorded import Recorded

DTYPES = ("float16", "float32", "float64")
BATCH, SEQUENCE = Length(("batch",)), Length(("sequence",))
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""int64, (batch, sequence); both lengths may differ from run to run. A network without token types has not the last."""


@dataclass(frozen=True)
class Recording:
    """The backend whose arrays compute nothing."""

    xp: RecordingNamespace
    kernels: Mapping[str, Kernel] = field(default_factory=lambda: KERNELS)


def export(
    params: Mapping[str, npt.NDArray[Any]],
    config: BertConfig,
    numerics: Numerics,
    path: str | Path,
    *,
    heads: Sequence[str],
    probes: Collection[str] = (),
    dtype: str = "float32",
    labels: Sequence[str] | None = None,
) -> Path:
    """Writes the model as an ONNX file and returns its path.

    params   host arrays of exactly the encoder and `heads` (names as in `bertref.heads`; none: the bare encoder)
    probes   names of intermediate values (`bertref.topology.probe_names`) that become outputs as well
    dtype    of weights and arithmetic: float16, float32 or float64
    labels   names of the classifier's classes, recorded in the file

    Inputs are `INPUTS`, outputs those of `bertref.onnx_export.answers`; the batch and the sequence may have any length
    (the sequence up to `max_position_embeddings`). The file's metadata hold the dialect and the architecture as JSON.

    Raises `InputError` for parameters that do not fit, for an unknown head, probe or dtype and for a path that can't be
    written, `BackendUnavailable` if the package onnx is missing.
    """
    library()
    path = Path(path)
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} can't be exported; there are {', '.join(DTYPES)}")
    num_labels = _num_labels(params, heads, labels)
    check(params, config, heads, num_labels=num_labels)
    graph = OnnxGraph()
    xp = RecordingNamespace(graph)
    shapes = parameter_shapes(config, heads, num_labels=num_labels, tied=DECODER not in params)
    weights = {name: Recorded(graph, graph.parameter(name, shape, dtype)) for name, shape in shapes.items()}
    found = answers(
        OpSet(Recording(xp)), weights, recorded_inputs(xp, graph, config), Settings(config, numerics), heads,
        tuple(probes),
    )
    outputs = {name: OnnxValue(x.name, x.shape, x.dtype) for name, x in found.items()}
    write(path, graph, outputs, params, _about(config, numerics, heads, labels), ("bertref", __version__))
    return path


def recorded_inputs(xp: RecordingNamespace, graph: OnnxGraph, config: BertConfig) -> Inputs:
    """The arguments of the file in the padded layout, as `bertref.layout.inputs` makes it of host arrays."""
    names = INPUTS if config.type_vocab_size else INPUTS[:2]
    ids, mask, *others = (Recorded(graph, graph.input(name, (BATCH, SEQUENCE), "int64")) for name in names)
    types = others[0] if others else xp.zeros_like(ids)
    rows = BATCH * SEQUENCE
    columns = xp.broadcast_to(xp.arange(SEQUENCE), (BATCH, SEQUENCE))
    first = xp.take(xp.reshape(xp.arange(rows), (BATCH, SEQUENCE)), xp.from_numpy(np.array(0)), axis=1)
    layout = Layout(BATCH, SEQUENCE, xp.astype(mask, bool), first)  # type: ignore[arg-type]
    return Inputs(layout, *(xp.reshape(x, (rows,)) if x.shape else x for x in (ids, columns, types)))


def _num_labels(
    params: Mapping[str, npt.NDArray[Any]], heads: Sequence[str], labels: Sequence[str] | None
) -> int:
    weight = params.get(labelled(heads) or "")
    width = 1 if weight is None else int(weight.shape[0])
    if labels is not None and (weight is None or len(labels) != width):
        raise InputError(
            f"{len(labels)} labels were given; "
            + ("this model has no classifier" if weight is None else f"its classifier has {width} classes")
        )
    return width


def _about(
    config: BertConfig, numerics: Numerics, heads: Sequence[str], labels: Sequence[str] | None
) -> dict[str, str]:
    """What the file says of itself beside the graph: JSON under names that start with `bertref`."""
    about: dict[str, Any] = {
        "bertref_numerics": numerics_to_dict(numerics),
        "bertref_config": config_to_dict(config, numerics),
        "bertref_heads": list(heads),
    }
    if labels is not None:
        about["bertref_labels"] = list(labels)
    return {name: json.dumps(value, sort_keys=True) for name, value in about.items()}
