"""bertref's own code on one of its backends, in any precision, with or without the faster kernels."""

from collections.abc import Collection
from typing import Any

import numpy as np

from ...arrays import Array
from ...backends import get
from ...errors import InputError
from ...layers import Settings
from ...mixed import mixed
from ...objectives import losses_and_gradients, ordered
from ...opset import OpSet
from ...optim import clip_by_global_norm
from ...precision import Precision, canonical, cast, unscale
from ...probes import Recorder
from ..graph.axes import rows_of
from ..own_model import asked
from ..records import Answers, Arrays, Case
from .backend_head_steps import BackendSteps

INSIDE_KERNELS = ("scores", "probs", "ffn_pre", "attention_sum", "ffn_sum", "mlm.dense", "mlm.logits")
"""Probes that lie inside ops which a kernel may replace: to look at them would switch the kernel off."""

FLOAT16_LOSS_SCALE = 1024.0
"""Keeps the small gradients of float16 above 2**-24, and the large ones of a small batch below 65504."""


class BackendSubject:
    """`spec` names a backend as `bertref.backends.get` does; `dtype` is what it computes in, one of
    `precision.PRESETS`: a type, or training's mixed precision, such as mixed-bfloat16.

    With `kernels`, what lies inside fused kernels is not among the answers. The optimiser works in at least float32,
    as in training. Raises `InputError` for a dtype in which the backend can't compute, `BackendUnavailable` where the
    backend can't be used here.
    """

    live = True

    def __init__(self, spec: str = "numpy", *, dtype: str = "float32", kernels: bool = True) -> None:
        self._backend = get(spec)
        dtype = canonical(dtype)
        if dtype.removeprefix("mixed-") not in self._backend.dtypes:
            raise InputError(f"{spec} computes in {', '.join(self._backend.dtypes)}, not in {dtype}")
        self._kernels = kernels
        self._policy = Precision.preset(dtype)
        self.precision: str | None = dtype
        self._steps: tuple[Case, BackendSteps] | None = None
        self.name = f"{spec}:dtype={dtype},kernels={'on' if kernels else 'off'}"

    @property
    def has_kernels(self) -> bool:
        """Whether faster kernels take part."""
        return self._kernels and bool(self._backend.kernels)

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """Every probe and gradient that the kernels leave visible, and one update if the case has an optimiser."""
        ops, policy = self._ops(), self._policy
        names = self._visible(case, wanted)
        gradients = wanted is None or any(name.startswith(("grad:", "update:")) for name in wanted)
        scale = FLOAT16_LOSS_SCALE if policy.compute == "float16" else 1.0
        weights = {name: ops.xp.from_numpy(array.astype(policy.master)) for name, array in case.params.items()}
        recorder = Recorder(names)
        if case.objective is None:
            raise InputError(f"{self.name}: the case has heads that no model of ours is trained with")
        objective, batch = asked(case)
        _, raw = losses_and_gradients(
            objective, ops, cast(ops.xp, weights, policy.parameter), batch, Settings(case.config, case.numerics),
            packed=not self._backend.static_shapes and bool((case.batch.attention_mask[:, 0] != 0).all()),
            loss_scale=scale, recorder=recorder, gradients=gradients,
        )  # fmt: skip
        values = self._probes(ops, recorder, scale)
        if gradients:
            grads = unscale(ops.xp, ordered(raw, weights), scale, policy.master)
            values |= {f"grad:{name}": ops.xp.to_numpy(grad) for name, grad in grads.items()}
            if case.optimizer is not None:
                values |= _updates(ops, case, weights, grads)
        if wanted is not None:
            values = {name: value for name, value in values.items() if name in set(wanted)}
        return Answers(values, self._notes())

    def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
        """One step by the op or kernel that does it in the model; every update, if one is asked for. `backend_steps`
        says which steps are left out; of a case without an objective, all."""
        ops, policy = self._ops(), self._policy
        if name.startswith("update:"):
            weights = {one: ops.xp.from_numpy(array.astype(policy.master)) for one, array in case.params.items()}
            grads = {one: ops.xp.from_numpy(inputs[f"grad:{one}"].astype(policy.master)) for one in weights}
            return _updates(ops, case, weights, grads)
        if case.objective is None:
            return {}
        if self._steps is None or self._steps[0] is not case:
            kernels = self._backend.kernels if self._kernels else {}
            self._steps = (case, BackendSteps(ops, case, policy, kernels))
        return self._steps[1](name, inputs)

    def _ops(self) -> OpSet:
        ops = OpSet(self._backend, kernels=self._kernels)
        return mixed(ops, self._policy.compute) if self._policy.mixed else ops

    def _visible(self, case: Case, wanted: Collection[str] | None) -> list[str]:
        forward = [row.name for row in rows_of(case)]
        names = [*forward, *(f"grad:{name}" for name in forward)]
        hidden = INSIDE_KERNELS if self.has_kernels else ()
        return [name for name in names if (wanted is None or name in wanted) and not name.endswith(hidden)]

    def _probes(self, ops: OpSet, recorder: Recorder, scale: float) -> Arrays:
        values = recorder.to_numpy(ops.xp)
        return {name: value.astype(np.float32) / np.float32(scale) if name.startswith("grad:") and scale != 1.0
                else value for name, value in values.items()}  # fmt: skip

    def _notes(self) -> tuple[str, ...]:
        if not self.has_kernels:
            return ()
        return ("inside fused kernels, and not looked at: " + ", ".join(INSIDE_KERNELS) + "; kernels=off shows them",)


def _updates(ops: OpSet, case: Case, weights: dict[str, Array], grads: dict[str, Array]) -> dict[str, Any]:
    """New minus old weights after one step."""
    step = case.optimizer
    assert step is not None
    xp = ops.xp
    names = list(case.shapes)
    dtype = str(xp.dtype_name(weights[names[0]].dtype))
    moments = {name: xp.from_numpy(array.astype(dtype)) for name, array in step.moments.items()}
    if step.clip_norm is not None:
        grads, _ = clip_by_global_norm(xp, grads, step.clip_norm, epsilon=step.clip_epsilon)
    new, _ = step.optimizer.update(xp, weights, grads, moments, rate=step.rate, step=step.step)
    return {f"update:{name}": xp.to_numpy(new[name]) - xp.to_numpy(weights[name]) for name in names}
