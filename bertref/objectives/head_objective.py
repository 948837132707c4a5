"""An objective on one head: encode, answer, compare the answers with the targets. Each task says how it compares.

    inputs --encoder--> sequence, pooled --head--> logits --compare--> loss

There is one loss, "loss", which is the total; it is divided by how much of the batch counts. The steps are methods of
their own, so that distillation can compare the same logits with a teacher's, too.

Source: Devlin et al. 2019, section 4; transformers, the classes `BertFor...`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .. import model
from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..heads import Head
from ..layers import Settings
from ..layout import Layout, inputs
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe
from .base import TOTAL, Denominators, Figure, HostBatch, Outcome, Prepared

LOSS = "loss"
"""The name of the denominator and of the figure."""


class LabelledHostBatch(HostBatch, Protocol):
    """A batch with labels, as `bertref.data.tasks.batches` describes them."""

    @property
    def labels(self) -> npt.NDArray[Any]: ...


class Answered(NamedTuple):
    """The head's logits in the layout's rows, what it read, and the caches of encoder and head."""

    logits: Array
    encoded: model.Encoded
    encoder: model.ModelCache
    head: Any


class Compared(NamedTuple):
    """A loss (), what its backward needs, and the figures, {} if they are not wanted."""

    loss: Array
    cache: Any
    figures: dict[str, Figure]


@dataclass
class HeadCache:
    """What `backward` needs: of the encoder, of the head, and of the comparison."""

    encoder: model.ModelCache
    head: Any
    compared: Any


class HeadObjective(ABC):
    """`Objective` for a task that is one head and one loss; a subclass says what is compared, and how.

    `Targets` of a subclass are what it compares with, on the device.
    """

    head: ClassVar[Head]

    # what a task says

    @abstractmethod
    def count(self, batch: Any) -> float:
        """How much of a whole batch counts: the denominator of its loss, 0 if nothing does."""

    @abstractmethod
    def targets(
        self, xp: Namespace, batch: Any, layout: Layout, numerics: Numerics, denominator: float, dtype: str
    ) -> Any:
        """Host batch -> what the logits are compared with."""

    @abstractmethod
    def compare(self, ops: OpSet, logits: Array, targets: Any, *, figures: bool = False) -> Compared:
        """Logits and targets -> loss and, if wanted, figures."""

    @abstractmethod
    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss (), `Compared.cache` -> gradient of the logits."""

    def read(
        self, ops: OpSet, params: dict[str, Array], encoded: model.Encoded, targets: Any, dropout: Dropout | None,
        probe: Probe | None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """What the encoder gives -> the head's logits and its cache."""
        x = encoded.pooled if self.head.pooler else encoded.sequence
        logits, cache = self.head.forward(ops, params, x, dropout=dropout, probe=probe)
        return logits, cache

    # what follows from it

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.head.name,)

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """None."""
        return {}

    def denominators(self, batch: Any, numerics: Numerics) -> Denominators:
        """Of "loss"."""
        return {LOSS: self.count(batch) or 1.0}

    def prepare(
        self,
        xp: Namespace,
        batch: HostBatch,
        numerics: Numerics,
        *,
        packed: bool,
        dtype: str,
        divide_by: Denominators | None = None,
    ) -> Prepared:
        """As `Objective.prepare`. An example of several sequences, a multiple choice, is as many rows."""
        ids, mask, types = (
            a.reshape(-1, a.shape[-1]) for a in (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        )
        x = inputs(xp, ids, mask, types, packed=packed)
        denominator = (divide_by or self.denominators(batch, numerics))[LOSS]
        return Prepared(x, self.targets(xp, batch, x.layout, numerics, denominator, dtype))

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
    ) -> tuple[Outcome, HeadCache]:
        """As `Objective.forward`."""
        answered = self.answer(ops, params, prepared, settings, dropout, probe)
        compared = self.compare(ops, answered.logits, prepared.targets, figures=figures)
        if probe:
            probe.array(f"loss.{TOTAL}", compared.loss)
        cache = HeadCache(answered.encoder, answered.head, compared.cache)
        return Outcome({TOTAL: compared.loss}, compared.figures), cache

    def backward(self, ops: OpSet, d_total: Array, cache: HeadCache, probe: Probe | None = None) -> dict[str, Array]:
        """As `Objective.backward`."""
        if probe:
            probe.array(f"loss.{TOTAL}", d_total)
        d_logits = self.compare_backward(ops, d_total, cache.compared)
        return self.answer_backward(ops, d_logits, None, cache.encoder, cache.head, probe)

    def answer(
        self, ops: OpSet, params: dict[str, Array], prepared: Prepared, settings: Settings,
        dropout: Dropout | None, probe: Probe | None,
    ) -> Answered:  # fmt: skip
        """Encoder and head; the head drops at its own rate."""
        config, head = settings.config, self.head.name
        dropping = at_the_head(dropout, config, head)
        encoded, encoder = model.forward(
            ops, params, prepared.inputs, settings, dropout=dropout, probe=probe,
            pooler_dropout=dropping if head in config.variant.pooler_dropout else None,
        )  # fmt: skip
        logits, head = self.read(ops, params, encoded, prepared.targets, dropping, probe)
        return Answered(logits, encoded, encoder, head)

    def answer_backward(
        self, ops: OpSet, d_logits: Array, d_sequence: Array | None, encoder: model.ModelCache, head: Any,
        probe: Probe | None,
    ) -> dict[str, Array]:  # fmt: skip
        """Gradient of the logits, and of the sequence (T, H) where a loss reads that as well -> all gradients."""
        dx, grads = self.head.backward(ops, d_logits, head, probe)
        if self.head.pooler:
            return {**model.backward(ops, d_sequence, dx, encoder, probe), **grads}
        # the sequence is used twice: by the head and by the loss
        both = dx if d_sequence is None else ops.add.forward(dx, d_sequence)[0]
        return {**model.backward(ops, both, None, encoder, probe), **grads}


def at_the_head(dropout: Dropout | None, config: BertConfig, head: str) -> Dropout | None:
    """The dropout in front of a head, at its own rate; None if nothing is dropped there."""
    setting = config.variant.head_dropout.get(head)
    own = getattr(config, setting) if setting else 0.0
    rate = config.hidden_dropout_prob if own is None else float(own)
    return replace(dropout, hidden_prob=rate) if dropout and rate else None


def send(xp: Namespace, array: npt.ArrayLike, dtype: str) -> Array:
    """A host array on the device, in that dtype."""
    return xp.from_numpy(np.asarray(array).astype(dtype, order="C"))
