"""Reads the parameters that a plan names: one tensor at a time, turned, widened and looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig
from ..errors import CheckpointError
from ..params import DECODER
from .coverage import Coverage
from .names import BIAS, DECODER_BIAS, WORDS
from .plan import Plan, plan
from .source import Source

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Weights:
    """Parameters under canonical names, in the model's order; `moments` and `step` if the optimiser's state was asked
    for and the file has it."""

    params: Arrays
    coverage: Coverage
    heads: tuple[str, ...]
    num_labels: int
    moments: Arrays | None = None
    step: int | None = None


def read_weights(
    source: Source,
    config: BertConfig,
    architectures: Sequence[str] = (),
    *,
    allow: Sequence[str] = (),
    optimizer: bool = False,
) -> Weights:
    """Everything of a model that a file holds.

    float16 and bfloat16 become float32, exactly; other types stay. A stored decoder that equals the word embeddings is
    tied; one that differs is kept as `cls.predictions.decoder.weight`. With `optimizer` the moments are read, too.

    Raises `CheckpointError` for what `plan` and `Coverage.require` refuse, for NaN and infinity, and for data that is
    damaged.
    """
    found = plan(source, config, architectures, allow=allow)
    found.coverage.require()
    params = {name: _read(source, found, stored) for name, stored in found.parameters.items()}
    decided = {}
    for name, stored in found.decoders.items():
        kept = params[WORDS if name == DECODER else BIAS]
        value = _read(source, found, stored)
        equal = value.dtype == kept.dtype and value.tobytes() == kept.tobytes()
        if not equal and name == DECODER_BIAS:
            raise CheckpointError(f"{source.path}: {stored} and {BIAS} differ; remove the one that is not to be used")
        decided[name] = "tied" if equal else "untied"
        if not equal:
            params[DECODER] = value
    rows = tuple(
        replace(row, actions=(*row.actions, decided[row.parameter])) if row.parameter in decided else row
        for row in found.coverage.rows
    )
    moments, step = _optimizer_state(source, found) if optimizer else (None, None)
    coverage = replace(found.coverage, rows=rows)
    return Weights(params, coverage, found.heads, found.num_labels, moments, step)


def _read(source: Source, found: Plan, stored: str) -> npt.NDArray[Any]:
    array = source.read(stored)
    if found.translations[stored].transposed:
        array = np.ascontiguousarray(array.T)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        raise CheckpointError(
            f"{source.path}: {stored} holds NaN or infinity, {len(bad)} of {array.size}, the first at "
            f"{tuple(int(i) for i in bad[0])}; the file is damaged or its training diverged"
        )
    return array


def _optimizer_state(source: Source, found: Plan) -> tuple[Arrays, int | None]:
    wanted = [f"{name}/{kind}" for name in found.parameters for kind in ("m", "v")]
    missing = [name for name in wanted if name not in found.moments]
    if missing:
        raise CheckpointError(
            f"{source.path}: holds no optimiser state for {missing[0].rpartition('/')[0]}"
            f"{f' and {len(missing) - 1} more slots' if len(missing) > 1 else ''}; read it without the optimiser"
        )
    moments = {name: _read(source, found, found.moments[name]) for name in wanted}
    for name, array in moments.items():
        parameter = found.translations[found.parameters[name.rpartition("/")[0]]]
        shape = source.entries[found.parameters[parameter.name]].shape
        if array.shape != (shape[::-1] if parameter.transposed else shape):
            raise CheckpointError(f"{source.path}: {found.moments[name]} has another shape than its parameter")
    step = int(source.read(found.step)) if found.step else None
    return moments, step
