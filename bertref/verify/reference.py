"""The right answers: the reference in float64, every probe, gradient and update of a case."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array
from ..backends import get
from ..config import Numerics
from ..layers import Settings
from ..losses import pretraining
from ..opset import OpSet
from ..optim import clip_by_global_norm
from ..params import parameter_shapes
from ..probes import Recorder, probe_names
from .records import Answers, Arrays, Case, OptimizerCase

REFERENCE_OPS = "numpy"


def answer_names(case: Case) -> list[str]:
    """Everything that can be asked about a case, forward probes first."""
    probes = probe_names(case.config.num_hidden_layers)
    parameters = list(parameter_shapes(case.config))
    updates = [f"update:{name}" for name in parameters] if case.optimizer else []
    return [*probes, *(f"grad:{name}" for name in [*probes, *parameters]), *updates]


def reference(
    case: Case,
    wanted: Collection[str] | None = None,
    *,
    ops: OpSet | None = None,
    numerics: Numerics | None = None,
    dtype: str = "float64",
) -> Answers:
    """Answers of our own code for the names in `wanted` (all, if None), as NumPy arrays.

    `ops` (reference ops on NumPy, if None), `numerics` and `dtype` change one thing of the reference, for whoever wants
    to know whether that one thing explains a difference: another implementation of an op, another GELU, a narrower
    type. Gradients are computed only if one is wanted, updates likewise.
    """
    ops = ops or OpSet(get(REFERENCE_OPS), kernels=False)
    xp = ops.xp
    if numerics is not None:
        case = replace(case, numerics=numerics)
    names = set(answer_names(case) if wanted is None else wanted)
    params = {name: xp.from_numpy(np.asarray(value, np.float64), dtype) for name, value in case.params.items()}
    recorder = Recorder({name for name in names if name.removeprefix("grad:") not in params})
    backwards = any(name.startswith(("grad:", "update:")) for name in names)
    with np.errstate(all="ignore"):  # what overflows is judged, not warned of
        _, grads = pretraining(
            ops, params, case.batch, Settings(case.config, case.numerics), recorder=recorder, gradients=backwards
        )
        updates = step_updates(xp, case.optimizer, params, grads) if case.optimizer and backwards else {}
    values: dict[str, Array] = dict(recorder.values)
    values |= {f"grad:{name}": grad for name, grad in grads.items() if f"grad:{name}" in names}
    values |= {name: update for name, update in updates.items() if name in names}
    return Answers({name: np.asarray(xp.to_numpy(value)) for name, value in values.items()})


def step_updates(
    xp: Any, step: OptimizerCase, params: Mapping[str, Array], grads: Mapping[str, Array]
) -> dict[str, Array]:
    """update:NAME, new minus old value of every parameter, from gradients before clipping.

    Parameters, gradients and moments are brought to the parameters' type, as a training step does.
    """
    dtype = next(iter(params.values())).dtype
    grads = {name: xp.astype(grads[name], dtype, copy=False) for name in params}
    if step.clip_norm is not None:
        grads, _ = clip_by_global_norm(xp, grads, step.clip_norm, epsilon=step.clip_epsilon)
    updates = {}
    for name, p in params.items():  # one at a time: all new parameters and moments at once would be three models more
        arrays = {f"{name}/{m}": xp.from_numpy(step.moments[f"{name}/{m}"], xp.dtype_name(dtype)) for m in "mv"}
        new, _ = step.optimizer.update(xp, {name: p}, {name: grads[name]}, arrays, rate=step.rate, step=step.step)
        updates[f"update:{name}"] = new[name] - p
    return updates


def numbers(values: Mapping[str, Any]) -> Arrays:
    """Arrays in float64, for comparing."""
    return {name: np.asarray(value, np.float64) for name, value in values.items()}
