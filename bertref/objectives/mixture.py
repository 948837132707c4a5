"""A task mixed with masked words: each batch brings one of the two, and the objective is that of the batch.

    total = that of the task, or loss.mlm

What a batch does not use, the task's head or that of masked words, has the gradient 0: its moments decay in that step,
and nothing else distinguishes it from the other parameters. Fine-tuning alone ruins the head of masked words, because
the encoder under it moves away; mixed, one encoder serves both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..layers import Settings
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe
from .base import Denominators, HostBatch, Objective, Outcome, Prepared
from .pretraining import PretrainingObjective


@dataclass(frozen=True)
class MixedTargets:
    """Whose batch it is, and what that objective compares with."""

    objective: Objective
    targets: Any


@dataclass
class MixedCache:
    """Whose batch it was, its cache, and the parameters, of which some have no gradient in it."""

    objective: Objective
    inner: Any
    params: dict[str, Array]


@dataclass(frozen=True)
class MixtureObjective:
    """`task` for its own batches, `words` for those with masked words."""

    task: Objective
    words: PretrainingObjective = field(default_factory=lambda: PretrainingObjective(next_sentence=False))

    @property
    def heads(self) -> tuple[str, ...]:
        return (*self.task.heads, *self.words.heads)

    def extra_parameters(self, config: BertConfig) -> Mapping[str, Shape]:
        """Those of the task."""
        return self.task.extra_parameters(config)

    def of(self, batch: HostBatch) -> Objective:
        """The objective of a batch: batches with masked words have their positions."""
        return self.words if hasattr(batch, "masked_lm_positions") else self.task

    def denominators(self, batch: Any, numerics: Numerics) -> Denominators:
        """Those of the batch's objective."""
        return self.of(batch).denominators(batch, numerics)

    def prepare(
        self,
        xp: Namespace,
        batch: Any,
        numerics: Numerics,
        *,
        packed: bool,
        dtype: str,
        divide_by: Denominators | None = None,
    ) -> Prepared:
        """As `Objective.prepare`; the targets are `MixedTargets`."""
        own = self.of(batch)
        inner = own.prepare(xp, batch, numerics, packed=packed, dtype=dtype, divide_by=divide_by)
        return Prepared(inner.inputs, MixedTargets(own, inner.targets))

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
    ) -> tuple[Outcome, MixedCache]:
        """As `Objective.forward`; losses and figures are those of the batch's objective."""
        mixed: MixedTargets = prepared.targets
        inner = Prepared(prepared.inputs, mixed.targets)
        outcome, cache = mixed.objective.forward(
            ops, params, inner, settings, dropout=dropout, probe=probe, figures=figures
        )
        return outcome, MixedCache(mixed.objective, cache, params)

    def backward(self, ops: OpSet, d_total: Array, cache: MixedCache, probe: Probe | None = None) -> dict[str, Array]:
        """As `Objective.backward`."""
        grads = cache.objective.backward(ops, d_total, cache.inner, probe)
        # total does not depend on what the batch did not use
        return grads | {name: ops.xp.zeros_like(p) for name, p in cache.params.items() if name not in grads}
