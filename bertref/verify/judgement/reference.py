"""The right answers: the reference in float64, every probe, gradient and update of a case."""

from collections.abc import Collection, Iterator, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ... import model
from ...arrays import Array
from ...backends import get
from ...config import Numerics
from ...heads import expanded
from ...heads.classifier import LOGITS as CLASSES
from ...layers import Settings
from ...layout import inputs
from ...objectives import losses_and_gradients
from ...opset import OpSet
from ...optim import Optimizer
from ...optim.clip import clipping_factor, global_norm
from ...optim.norms import scaled
from ...probes import Probe, Recorder
from ..graph.axes import rows_of
from ..own_model import asked
from ..records import Answers, Arrays, Case, OptimizerCase
from ..sentence_embedding import embed

REFERENCE_OPS = "numpy"


def answer_names(case: Case) -> list[str]:
    """Everything that can be asked about a case, forward probes first."""
    probes = [row.name for row in rows_of(case)]
    if case.objective is None:
        return probes
    parameters = list(case.shapes)
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
        grads = compute(case, ops, params, recorder, gradients=backwards)
        step = CaseUpdates(xp, case.optimizer, params, grads) if case.optimizer and backwards else None
        updates = {f"update:{name}": step(name) for name in params if step and f"update:{name}" in names}
    values: dict[str, Array] = dict(recorder.values)
    values |= {f"grad:{name}": grad for name, grad in grads.items() if f"grad:{name}" in names}
    values |= updates
    return Answers({name: np.asarray(xp.to_numpy(value)) for name, value in values.items()})


def compute(
    case: Case, ops: OpSet, params: dict[str, Array], recorder: Recorder, *, gradients: bool, loss_scale: float = 1.0
) -> dict[str, Array]:
    """The whole of a case with our own model: the probes go to the recorder, the gradients of the parameters (times
    `loss_scale`; {} if they aren't asked for or the case has no loss) are returned."""
    settings = Settings(case.config, case.numerics)
    if case.objective is not None:
        objective, batch = asked(case)
        _, grads = losses_and_gradients(
            objective, ops, params, batch, settings, loss_scale=loss_scale, recorder=recorder, gradients=gradients
        )
        return grads
    own = case.batch
    x = inputs(ops.xp, own.input_ids, own.attention_mask, own.token_type_ids, packed=False)
    probe = Probe(recorder, ops.xp, x.layout)
    ops = ops.forward_only()
    encoded, _ = model.forward(ops, params, x, settings, probe=probe)
    for head in expanded(case.heads):
        read = encoded.pooled if head.pooler else encoded.sequence
        assert read is not None, "a head that reads the pooled output comes with a pooler"
        head.answer(ops, params, read, settings, x.layout, probe)
    embed(ops.xp, encoded.sequence, x.layout, case.embedding, case.targets, probe)
    recorder.finish()
    if "multiple_choice" in case.heads and CLASSES in recorder.values:  # the head answers with a row for each choice
        recorder.values[CLASSES] = ops.xp.reshape(recorder.values[CLASSES], (-1, case.choices))
    return {}


PIECE = 1 << 18
"""Elements of a parameter that are updated at a time: few enough for all that it takes to stay in the cache."""


class CaseUpdates:
    """New minus old value of every parameter, from gradients before clipping; one parameter at a time, because all new
    parameters and moments at once would be three models more.

    Parameters, gradients and moments are brought to the parameters' type, as a training step does.
    """

    def __init__(self, xp: Any, step: OptimizerCase, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        self._xp, self._step, self._params, self._grads = xp, step, params, grads
        self._dtype = next(iter(params.values())).dtype
        self._factor: Array | None = None
        if step.clip_norm is not None:
            norm = global_norm(xp, _Cast(xp, {name: grads[name] for name in params}, self._dtype))
            self._factor = clipping_factor(xp, norm, step.clip_norm, epsilon=step.clip_epsilon)

    def __call__(self, name: str) -> Array:
        """The update of the parameter `name`."""
        p, g = self._params[name], self._grads[name]
        size = int(np.prod(p.shape))
        if size <= PIECE or self._step.optimizer.rule.whole:
            return self._piece(name, p, g, slice(None))
        rows = max(PIECE * p.shape[0] // size, 1)
        parts = [slice(start, start + rows) for start in range(0, p.shape[0], rows)]
        return self._xp.concat([self._piece(name, p[part], g[part], part) for part in parts])

    def with_optimizer(self, optimizer: Optimizer) -> "CaseUpdates":
        """The same step by another optimiser."""
        other = copy(self)
        other._step = replace(self._step, optimizer=optimizer)
        return other

    def _piece(self, name: str, p: Array, g: Array, rows: slice) -> Array:
        xp, step = self._xp, self._step
        g = xp.astype(g, self._dtype, copy=False)
        if self._factor is not None:
            g = scaled(xp, g, self._factor)
        held = xp.dtype_name(self._dtype)
        kept = step.optimizer.names([name])
        state = {moment: xp.from_numpy(step.moments[moment][rows], held) for moment in kept}
        new, _ = step.optimizer.update(xp, {name: p}, {name: g}, state, rate=step.rate, step=step.step)
        return new[name] - p


class _Cast(Mapping[str, Any]):
    """Arrays brought to a type when they are looked at."""

    def __init__(self, xp: Any, arrays: Mapping[str, Array], dtype: Any) -> None:
        self._xp, self._arrays, self._dtype = xp, arrays, dtype

    def __getitem__(self, name: str) -> Array:
        return self._xp.astype(self._arrays[name], self._dtype, copy=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def numbers(values: Mapping[str, Any]) -> Arrays:
    """Arrays in float64, for comparing."""
    return {name: np.asarray(value, np.float64) for name, value in values.items()}
