"""Everything of one batch: prepare, forward and backward of any objective, one after the other."""

from typing import Any

from ..arrays import Array, Namespace
from ..dropout import Dropout
from ..layers import Settings
from ..opset import OpSet
from ..probes import Probe, Recorder
from .base import TOTAL, Denominators, Objective, Outcome


def losses_and_gradients(
    objective: Objective,
    ops: OpSet,
    params: dict[str, Array],
    batch: Any,
    settings: Settings,
    *,
    packed: bool = False,
    divide_by: Denominators | None = None,
    dropout: Dropout | None = None,
    loss_scale: float = 1.0,
    recorder: Recorder | None = None,
    figures: bool = False,
    gradients: bool = True,
) -> tuple[Outcome, dict[str, Array]]:
    """A host batch -> losses and, if wanted, figures; and the gradients of every parameter times `loss_scale`, {} if
    they are not wanted.

    `divide_by` are the denominators of the whole batch where this one is a chunk of it. `recorder` collects probes.
    """
    xp = ops.xp
    if not gradients:
        ops = ops.forward_only()
    prepared = objective.prepare(
        xp, batch, settings.numerics, packed=packed, dtype=loss_dtype(xp, params), divide_by=divide_by
    )
    probe = Probe(recorder, xp, prepared.inputs.layout) if recorder else None
    outcome, cache = objective.forward(
        ops, params, prepared, settings, dropout=dropout, probe=probe, figures=figures
    )
    grads: dict[str, Array] = {}
    if gradients:
        d_total = xp.full((), loss_scale, dtype=outcome.losses[TOTAL].dtype)
        grads = objective.backward(ops, d_total, cache, probe and probe.scope("grad:"))
    if recorder:
        recorder.finish()
    return outcome, grads


def loss_dtype(xp: Namespace, params: dict[str, Array]) -> str:
    """The type of losses: at least float32, whatever the model computes in."""
    dtype = xp.dtype_name(next(iter(params.values())).dtype)
    return dtype if dtype == "float64" else "float32"
