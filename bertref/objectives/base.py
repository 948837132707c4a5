"""What a training step needs of an objective.

    batch (host) --prepare--> inputs and targets (device) --forward--> losses and figures --backward--> gradients

The step cuts a batch into chunks, on one device after the other or on several. What belongs to the whole batch are the
denominators of its losses: every chunk divides by them, so that losses and gradients of the chunks add up to those of
the big batch. Figures are for whoever shows progress. They are pairs of sums, which add up over chunks, batches and
devices, too; they stay on the device until they are shown, and making them chooses no implementation of an op.

A task brings a batch of its own: what is common to all stands in `HostBatch`. An objective may run more than a head:
one that distils runs a teacher on the same inputs; one that mixes tasks asks the objective of the batch it is given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..layers import Settings
from ..layout import Inputs
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe

TOTAL = "total"
"""The loss whose gradient is taken."""


class HostBatch(Protocol):
    """The host arrays that every batch has, as `bertref.data.batch.Batch` describes them."""

    @property
    def input_ids(self) -> npt.NDArray[Any]: ...
    @property
    def attention_mask(self) -> npt.NDArray[Any]: ...
    @property
    def token_type_ids(self) -> npt.NDArray[Any]: ...
    @property
    def example(self) -> npt.NDArray[Any]: ...


Denominators = Mapping[str, float]
"""What the sum that makes a loss is divided by, by the loss's name."""


@dataclass(frozen=True)
class Prepared:
    """A batch on the device: what the encoder reads, and what the objective compares its answers with."""

    inputs: Inputs
    targets: Any


class Figure(NamedTuple):
    """A mean as the two sums it is made of, both (): Σ w x and Σ w. Sums of two figures are a figure of both."""

    total: Array
    weight: Array


class Outcome(NamedTuple):
    """What forward says of a batch: losses by name, (), of which `TOTAL` is the one to go down; and figures by name."""

    losses: dict[str, Array]
    figures: dict[str, Figure]


def added(one: Outcome | None, other: Outcome) -> Outcome:
    """The outcome of two chunks together; None before the first."""
    if one is None:
        return other
    return Outcome(
        {name: loss + other.losses[name] for name, loss in one.losses.items()},
        {name: Figure(total + other.figures[name].total, weight + other.figures[name].weight)
         for name, (total, weight) in one.figures.items()},
    )  # fmt: skip


class Objective(Protocol):
    """What a model learns to do. `batch` is of the objective's own type."""

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the model has to have for it."""
        ...

    def extra_parameters(self, config: BertConfig) -> Mapping[str, Shape]:
        """Name -> shape of the parameters that a run has beside those of its model: learnt, and not saved with it."""
        ...

    def denominators(self, batch: Any, numerics: Numerics) -> Denominators:
        """Of a whole batch; none is 0."""
        ...

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
        """A batch, or a chunk of one whose `denominators` are `divide_by` -> inputs and targets on the device.

        `dtype` is that of weights and denominators, and so of the losses: float32 or float64.
        """
        ...

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
    ) -> tuple[Outcome, Any]:
        """Inputs and targets -> losses and, if `figures` are wanted, those; and the cache for `backward`, which uses it
        up. Whether they are wanted changes no bit of anything else."""
        ...

    def backward(self, ops: OpSet, d_total: Array, cache: Any, probe: Probe | None = None) -> dict[str, Array]:
        """The gradient of the total loss, () (1, or the loss scale) -> gradients of every parameter, by name.

        `probe` should be scoped to `grad:`.
        """
        ...


def ordered(grads: Mapping[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """The gradients of these parameters, in their order."""
    return {name: grads[name] for name in names}
