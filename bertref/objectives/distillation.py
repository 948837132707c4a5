"""Distillation: a student learns a task from its labels and from a teacher's answers, and may imitate its vectors.

    total = α soft + (1 - α) hard + β hidden

hard    the loss of the task's own objective
soft    the divergence from the teacher's answers at temperature T (`soft`); the teacher's logits come with the batch
hidden  of the last layer's vectors x, mean over the real tokens, against the teacher's t for the same ids:
        "cosine"   1 - cos(x, t), widths equal (DistilBERT)
        "mse"      mean square of x Wᵀ - t over the teacher's width, W (teacher's width, student's width) (TinyBERT)

W is a parameter of the run, not of the model: it is learnt and kept with the others under `PROJECTION`, and not saved
with the model (`extra_parameters`). The teacher gets no gradient and drops nothing. It reads the student's ids, so for
hidden vectors both must have one vocabulary: whoever makes the objective checks that.

Source: Hinton et al. 2015, section 2; Sanh et al. 2019 (DistilBERT), section 2; Jiao et al. 2020 (TinyBERT), section 3.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import model
from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..errors import InputError
from ..layers import Settings
from ..layout import Inputs, Layout
from ..opset import ForwardRun, OpSet
from ..params import Shape
from ..probes import Probe
from .base import TOTAL, Denominators, Outcome, Prepared
from .head_objective import HeadObjective, send
from .soft import Soft, TaughtHostBatch, soft_of

PROJECTION = "distillation.projection.weight"
SOFT, HIDDEN, HARD = "soft", "hidden", "hard"
COSINE_EPSILON = 1e-12
"""torch's."""


@dataclass(frozen=True)
class Teacher:
    """A teacher whose vectors are imitated: its weights on the device, in the type to compute in, and its settings."""

    params: dict[str, Array]
    settings: Settings

    def read(self, ops: OpSet, inputs: Inputs) -> Array:
        """Ids -> the last layer's vectors (T, H)."""
        encoded, _ = model.forward(ops.forward_only(), self.params, inputs, self.settings)
        return encoded.sequence


@dataclass(frozen=True)
class DistillationTargets:
    """What the task and the teacher want; which rows are tokens (T) and their number in the whole batch, ()."""

    hard: Any
    soft: Any
    tokens: Array
    token_count: Array


class HiddenCache(NamedTuple):
    """The runs of the projection (None without one) and of the comparison, and the shape of what was compared."""

    projection: ForwardRun | None
    compared: ForwardRun
    shape: tuple[int, ...]


@dataclass
class DistillationCache:
    """What `backward` needs: of encoder and head, and of the three comparisons."""

    encoder: model.ModelCache
    head: Any
    hard: Any
    soft: Any
    hidden: HiddenCache | None


@dataclass(frozen=True)
class DistillationObjective:
    """An objective, taught.

    objective      of the task, one of `soft.COMPARISONS`
    temperature    T, above 0
    alpha          α in [0, 1], the soft loss's share
    hidden         "none", "cosine" or "mse"
    hidden_weight  β, 0 or more
    teacher        for the hidden vectors; None where there are none to imitate

    Raises `InputError` for an objective that can't be taught and for settings that make no sense.
    """

    objective: HeadObjective
    temperature: float = 2.0
    alpha: float = 0.5
    hidden: Literal["none", "cosine", "mse"] = "none"
    hidden_weight: float = 1.0
    teacher: Teacher | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        soft_of(self.objective)
        if not 0 < self.temperature < math.inf:
            raise InputError(f"distillation: the temperature is {self.temperature}; it must be above 0")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"distillation: the soft loss's share is {self.alpha}; it must be in [0, 1]")
        if not 0 <= self.hidden_weight < math.inf:
            raise InputError(
                f"distillation: the weight of hidden vectors is {self.hidden_weight}; it must be 0 or more"
            )
        if self.hidden not in ("none", "cosine", "mse"):
            raise InputError(f"distillation: hidden is {self.hidden!r}; it must be none, cosine or mse")
        if (self.hidden == "none") != (self.teacher is None):
            raise InputError("distillation: a teacher is run for hidden vectors, and for nothing else")

    @property
    def heads(self) -> tuple[str, ...]:
        return self.objective.heads

    @property
    def _soft(self) -> Soft:
        return soft_of(self.objective)

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """Name -> shape of the parameters that the run of a student of this config has beside the model's."""
        if self.teacher is None:
            return {}
        teachers = self.teacher.settings.config.hidden_size
        if self.hidden == "mse":
            return {PROJECTION: (teachers, config.hidden_size)}
        if teachers != config.hidden_size:
            raise InputError(
                f"distillation: the teacher's vectors are {teachers} wide, the student's {config.hidden_size}; cosine "
                "compares equal widths, mse any"
            )
        return {}

    def denominators(self, batch: Any, numerics: Numerics) -> Denominators:
        """Those of the task, and of "soft" and "hidden"."""
        tokens = float(np.count_nonzero(batch.attention_mask))
        soft = {SOFT: self._soft.count(batch) or 1.0, HIDDEN: tokens or 1.0}
        return {**self.objective.denominators(batch, numerics), **soft}

    def prepare(
        self,
        xp: Namespace,
        batch: TaughtHostBatch,
        numerics: Numerics,
        *,
        packed: bool,
        dtype: str,
        divide_by: Denominators | None = None,
    ) -> Prepared:
        """As `Objective.prepare`; the targets are `DistillationTargets`."""
        whole = divide_by or self.denominators(batch, numerics)
        hard = self.objective.prepare(xp, batch, numerics, packed=packed, dtype=dtype, divide_by=whole)
        layout = hard.inputs.layout
        soft = self._soft.targets(xp, batch, layout, hard.targets, whole[SOFT], dtype, self.temperature)
        tokens = send(xp, _tokens(batch, layout), dtype)
        return Prepared(hard.inputs, DistillationTargets(hard.targets, soft, tokens, send(xp, whole[HIDDEN], dtype)))

    def forward(
        self,
        ops: OpSet,
        params: dict[str, Array],
        prepared: Prepared,
        settings: Settings,
        *,
        dropout: Dropout | None = None,
        probe: Probe | None = None,
        figures: bool = False,
    ) -> tuple[Outcome, DistillationCache]:
        """As `Objective.forward`; the figures are the task's."""
        wanted: DistillationTargets = prepared.targets
        task = Prepared(prepared.inputs, wanted.hard)
        answered = self.objective.answer(ops, params, task, settings, dropout, probe)
        hard = self.objective.compare(ops, answered.logits, wanted.hard, figures=figures)
        soft, soft_cache = self._soft.compare(ops, answered.logits, wanted.soft, self.temperature)
        total, _ = ops.add.forward(soft * self.alpha, hard.loss * (1 - self.alpha))
        losses, hidden_cache = {HARD: hard.loss, SOFT: soft}, None
        if self.teacher is not None:
            teachers = self.teacher.read(ops, prepared.inputs)
            hidden, hidden_cache = self._imitate(ops, params, answered.encoded.sequence, teachers, wanted)
            losses[HIDDEN] = hidden
            total, _ = ops.add.forward(total, hidden * self.hidden_weight)
        losses[TOTAL] = total
        if probe:
            probe.array(f"loss.{TOTAL}", total)
        return Outcome(losses, hard.figures), DistillationCache(
            answered.encoder, answered.head, hard.cache, soft_cache, hidden_cache
        )

    def backward(
        self, ops: OpSet, d_total: Array, cache: DistillationCache, probe: Probe | None = None
    ) -> dict[str, Array]:
        """As `Objective.backward`."""
        if probe:
            probe.array(f"loss.{TOTAL}", d_total)
        # total = α soft + (1 - α) hard + β hidden
        from_soft = self._soft.compare_backward(ops, d_total * self.alpha, cache.soft, self.temperature)
        from_hard = self.objective.compare_backward(ops, d_total * (1 - self.alpha), cache.hard)
        d_logits, _ = ops.add.forward(from_soft, from_hard)
        d_sequence, grads = None, dict[str, Array]()
        if cache.hidden is not None:
            d_sequence, grads = self._imitate_backward(ops, d_total * self.hidden_weight, cache.hidden)
        return self.objective.answer_backward(ops, d_logits, d_sequence, cache.encoder, cache.head, probe) | grads

    def _imitate(
        self, ops: OpSet, params: dict[str, Array], sequence: Array, teachers: Array, wanted: DistillationTargets
    ) -> tuple[Array, HiddenCache]:
        """The student's vectors (T, H) and the teacher's (T, H') -> the loss ()."""
        xp = ops.xp
        if self.hidden == "cosine":
            loss, run = ops.cosine.forward(sequence, teachers, wanted.tokens, wanted.token_count, eps=COSINE_EPSILON)
            return loss, HiddenCache(None, run, tuple(sequence.shape))
        projected, projection = ops.dense.forward(sequence, params[PROJECTION], None)
        # padding is its own target: difference 0, and gradient 0
        target = xp.where(xp.expand_dims(wanted.tokens, axis=1) == 0, projected, teachers)
        flat, flat_target = (xp.reshape(a, (-1,)) for a in (projected, target))
        loss, run = ops.squared_error.forward(flat, flat_target, wanted.token_count * teachers.shape[1])
        return loss, HiddenCache(projection, run, tuple(projected.shape))

    def _imitate_backward(self, ops: OpSet, d_loss: Array, cache: HiddenCache) -> tuple[Array, dict[str, Array]]:
        """d_loss () -> gradient of the student's vectors (T, H), and of the projection."""
        if cache.projection is None:
            return ops.cosine.backward(d_loss, cache.compared).x, {}
        flat = ops.squared_error.backward(d_loss, cache.compared).predictions
        # projected = x Wᵀ
        dense = ops.dense.backward(ops.xp.reshape(flat, cache.shape), cache.projection)
        return dense.x, {PROJECTION: dense.weight}


def _tokens(batch: TaughtHostBatch, layout: Layout) -> Any:
    """(T): 1 where the layout's row is a token, not padding."""
    real = batch.attention_mask.reshape(-1) != 0
    return real[real] if layout.packed else real
