"""Reads the parameters that a plan names: one tensor at a time, turned, widened and looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig
from ..errors import CheckpointError
from ..heads import DECODER
from .coverage import Coverage
from .names import BIAS, DECODER_BIAS, WORDS
from .plan import Plan, plan
from .source import Source

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class LoadedWeights:
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
) -> LoadedWeights:
    """Everything of a model that a file holds.

    float16 and bfloat16 become float32, exactly; other types stay. A stored decoder that equals the word embeddings is
    tied; one that differs is kept as `cls.predictions.decoder.weight`. With `optimizer` the moments are read, too.

    Raises `CheckpointError` for what `plan` and `Coverage.require` refuse, for NaN and infinity, and for data that is
    damaged.
    """
    found = plan(source, config, architectures, allow=allow)
    found.coverage.require()
    params = {name: _read(source, found, stored) for name, stored in found.parameters.items()}
    params, coverage = _decided(source, found, params)
    moments, step = _optimizer_state(source, found) if optimizer else (None, None)
    return LoadedWeights(params, coverage, found.heads, found.num_labels, moments, step)


def _decided(source: Source, found: Plan, params: Arrays) -> tuple[Arrays, Coverage]:
    """Compares the stored decoder with what it may be tied to.

    A decoder of its own may have a bias of its own, too: then it is the one that counts, as in transformers, and
    `cls.predictions.bias` is not used.
    """
    params, decided, notes = dict(params), {}, list(found.coverage.notes)
    for name, stored in sorted(found.decoders.items(), reverse=True):  # the weight before the bias
        kept = params[WORDS if name == DECODER else BIAS]
        value = _read(source, found, stored)
        equal = value.dtype == kept.dtype and value.tobytes() == kept.tobytes()
        decided[name] = "tied" if equal else "untied"
        if not equal and name == DECODER_BIAS:
            if DECODER not in params:
                raise CheckpointError(
                    f"{source.path}: {stored} and {BIAS} differ, and the decoder's weight is tied; remove one of them"
                )
            notes.append(f"{stored} differs from {BIAS}, which a decoder of its own does not use")
        if not equal:
            params[DECODER if name == DECODER else BIAS] = value
    rows = tuple(
        replace(row, actions=(*row.actions, decided[row.parameter])) if row.parameter in decided else row
        for row in found.coverage.rows
    )
    return params, replace(found.coverage, rows=rows, notes=tuple(notes))


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
