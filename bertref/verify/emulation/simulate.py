"""What a correct implementation in some precision answers: the reference's own code in an emulated arithmetic."""

from collections.abc import Collection
from typing import Any

import numpy as np

from ...probes import Recorder
from ..graph.axes import split
from ..judgement.reference import CaseUpdates, answer_names
from ..judgement.reference import compute as compute_case
from ..records import Arrays, Case
from .formats import FORMATS, Format, nearest
from .rounding import Arithmetic
from .variants import EmulatedOps

LOSS_SCALE = 1024.0
"""Of the loss, where gradients are computed in float16: below 2**-24 they would vanish."""


def held_params(case: Case, precision: str, wide: Collection[str] = ()) -> Arrays:
    """The weights as a subject of this precision holds them: rounded to the nearest of its numbers, but for the `wide`
    ones, in float64.

    Right and wrong are told with these: that a bfloat16 model has bfloat16 weights is not an error of its arithmetic.
    Mixed precision and tf32 hold float32, and so the weights themselves.
    """
    held = FORMATS.get(precision)
    if held is None or held.bits >= 32:
        return case.params
    return {
        name: value if name in wide else nearest(value, held).astype(np.float64) for name, value in case.params.items()
    }


def simulate(case: Case, arithmetic: Arithmetic, wanted: Collection[str] | None = None) -> Arrays:
    """Answers of a correct implementation in `arithmetic`. The optimiser steps on the case's float32 weights (float64
    in float64), as mixed-precision training does."""
    ops = EmulatedOps(arithmetic)
    xp: Any = ops.xp
    compute, half = arithmetic.compute, arithmetic.products.name == "float16"
    scale = LOSS_SCALE if half else 1.0
    params = {name: xp.from_numpy(value, compute) for name, value in case.params.items()}
    names = answer_names(case) if wanted is None else wanted
    asked = set(names)
    recorder = Recorder({name for name in names if split(name)[1] not in params})
    backwards = any(split(name)[0] for name in names)
    with np.errstate(all="ignore"):
        grads = compute_case(case, ops, params, recorder, gradients=backwards, loss_scale=scale)
        values = {name: xp.to_numpy(value) for name, value in recorder.values.items()}
        master = FORMATS["float64" if compute.bits == 64 else "float32"]
        own = {}
        for name, grad in grads.items():
            kept = _gradient_format(name, arithmetic) or master
            own[name] = np.asarray(xp.to_numpy(xp.astype(grad, kept)), master.held)
        if scale != 1.0:
            values = {name: value / np.float32(scale) if split(name)[0] else value for name, value in values.items()}
            own = {name: grad / np.float32(scale) for name, grad in own.items()}
        values |= {f"grad:{name}": grad for name, grad in own.items()}
        if case.optimizer is not None and backwards:
            weights = params if compute == master else {
                name: xp.from_numpy(value, master) for name, value in case.params.items()
            }  # fmt: skip
            wrapped = {name: xp.wrap(grad, master) for name, grad in own.items()}
            step = CaseUpdates(xp, case.optimizer, weights, wrapped)
            values |= {f"update:{name}": xp.to_numpy(step(name)) for name in weights if f"update:{name}" in asked}
    return {name: value for name, value in values.items() if name in asked}


def _gradient_format(name: str, arithmetic: Arithmetic) -> Format | None:
    """What a parameter's gradient is rounded to before the optimiser has it, if it is. In mixed precision only what
    products use is cast, so that the gradients of norms and of looked-up tables are never halves."""
    if "narrow" not in arithmetic.variants or arithmetic.products.bits != 16:
        return None
    if arithmetic.compute.bits == 16:
        return arithmetic.compute
    return None if "LayerNorm" in name or "embeddings" in name else arithmetic.products
