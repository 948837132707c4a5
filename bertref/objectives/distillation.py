"""Distillation: a student learns a task from its labels and from a teacher's answers, and may imitate its vectors.

    total = α soft + (1 - α) hard + β hidden

hard    the loss of the task's own objective
soft    the divergence from the teacher's answers at temperature T (`soft`); the teacher's logits come with the batch
hidden  how far the student's vectors are from the teacher's (`imitation`)

Source: Hinton et al. 2015, section 2; Sanh et al. 2019 (DistilBERT), section 2.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .. import model
from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..errors import InputError
from ..layers import Settings
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe
from . import imitation
from .base import TOTAL, Denominators, Outcome, Prepared
from .head_objective import HeadObjective, send
from .imitation import HiddenCache, Imitation, Teacher, real_rows
from .soft import Soft, TaughtHostBatch, soft_of

SOFT, HIDDEN, HARD = "soft", "hidden", "hard"


@dataclass(frozen=True)
class DistillationTargets:
    """What the task and the teacher want; which rows are tokens (T) and their number in the whole batch, ()."""

    hard: Any
    soft: Any
    tokens: Array
    token_count: Array


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
        must_make_sense(self.temperature, self.alpha, self.hidden_weight)
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

    @property
    def _imitation(self) -> Imitation | None:
        return None if self.teacher is None or self.hidden == "none" else Imitation(self.teacher, self.hidden)

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """Name -> shape of the parameters that the run of a student of this config has beside the model's."""
        return {} if self._imitation is None else self._imitation.extra_parameters(config)

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
        tokens = send(xp, real_rows(batch, layout), dtype)
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
        if self._imitation is not None:
            teachers = self._imitation.teacher.read(ops, prepared.inputs)
            sequence = answered.encoded.sequence
            hidden, hidden_cache = self._imitation.compare(
                ops, params, sequence, teachers, wanted.tokens, wanted.token_count
            )
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
            d_sequence, grads = imitation.backward(ops, d_total * self.hidden_weight, cache.hidden)
        return self.objective.answer_backward(ops, d_logits, d_sequence, cache.encoder, cache.head, probe) | grads


def must_make_sense(temperature: float, alpha: float, hidden_weight: float) -> None:
    """Raises `InputError` for a temperature or weights that no teaching has."""
    if not 0 < temperature < math.inf:
        raise InputError(f"distillation: the temperature is {temperature}; it must be above 0")
    if not 0 <= alpha <= 1:
        raise InputError(f"distillation: the soft loss's share is {alpha}; it must be in [0, 1]")
    if not 0 <= hidden_weight < math.inf:
        raise InputError(f"distillation: the weight of hidden vectors is {hidden_weight}; it must be 0 or more")
