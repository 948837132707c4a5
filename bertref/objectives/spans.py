"""Answer spans: a softmax over the positions of a sequence for the answer's start, one for its end.

    loss = (CE(start) + CE(end)) / 2         each the mean over the sequences whose answer is inside

Padding is no place for an answer: its logits are taken as -inf, so that the loss is the same however far a batch is
padded, and in the packed layout. Google's code and transformers leave the padding's logits in the softmax, and so let
the loss depend on it; `Numerics.span_padding` "counted" does that, in the padded layout, where there are such logits.

A sequence whose answer is outside, where there is no token, counts for nothing.

Source: Devlin et al. 2019, section 4.2; `run_squad.py`, `compute_loss`; transformers, `BertForQuestionAnswering`.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .. import model
from ..arrays import Array, Namespace
from ..config import Numerics
from ..dropout import Dropout
from ..errors import InputError
from ..heads import HEADS, Head
from ..heads.question_answering import SPAN_LOGITS
from ..layout import Layout
from ..opset import ForwardRun, OpSet
from ..probes import Probe
from ..row import SPAN_CROSS_ENTROPY, TensorRow
from .base import Figure, HostBatch
from .head_objective import LOSS, Compared, HeadObjective, send


class SpanHostBatch(HostBatch, Protocol):
    """The host arrays of a batch, as `bertref.data.tasks.batches.SpanBatch` describes them."""

    @property
    def start_positions(self) -> npt.NDArray[Any]: ...
    @property
    def end_positions(self) -> npt.NDArray[Any]: ...
    @property
    def inside(self) -> npt.NDArray[np.bool_]: ...


@dataclass(frozen=True)
class SpanTargets:
    """Columns of start and end (B), whether the row counts (B), and how the logits' rows stand in sequences.

    `excluded`: padding has no part in the softmax.
    """

    start: Array
    end: Array
    weights: Array
    denominator: Array
    layout: Layout
    excluded: bool


class SpanCache(NamedTuple):
    """The runs of the loss and of the unpacking, None where nothing is packed."""

    loss: ForwardRun
    unpack: ForwardRun | None


@dataclass(frozen=True)
class SpanObjective(HeadObjective):
    """Where an answer starts and ends, on the sequence."""

    head: ClassVar[Head] = HEADS["question_answering"]

    def count(self, batch: SpanHostBatch) -> float:
        """The number of sequences that have their answer inside."""
        return float(batch.inside.sum())

    def targets(
        self,
        xp: Namespace,
        batch: SpanHostBatch,
        layout: Layout,
        numerics: Numerics,
        denominator: float,
        dtype: str,
    ) -> SpanTargets:
        """Positions (B); `InputError` for padding that is to be counted in the packed layout, which has none."""
        if layout.packed and numerics.span_padding == "counted":
            raise InputError(
                "the dialect's span_padding is 'counted', but the packed layout has no padding to count; "
                "use the padded layout, or span_padding 'excluded'"
            )
        counts = batch.inside
        return SpanTargets(
            start=send(xp, np.where(counts, batch.start_positions, 0), "int64"),
            end=send(xp, np.where(counts, batch.end_positions, 0), "int64"),
            weights=send(xp, counts, dtype),
            denominator=send(xp, denominator, dtype),
            layout=layout,
            excluded=numerics.span_padding == "excluded",
        )

    def read(
        self, ops: OpSet, params: dict[str, Array], encoded: model.Encoded, targets: SpanTargets,
        dropout: Dropout | None, probe: Probe | None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """sequence (T, H) -> logits (T, 2)."""
        logits, cache = self.head.forward(ops, params, encoded.sequence, probe, dropout=dropout)
        return logits, cache

    def compare(self, ops: OpSet, logits: Array, targets: SpanTargets, *, figures: bool = False) -> Compared:
        """logits (T, 2) -> loss; figures `loss`, and `accuracy`, the share of spans with both ends right."""
        start, end, unpack = start_and_end(ops, logits, targets)
        loss, run = ops.span_cross_entropy.forward(
            start, end, targets.start, targets.end, targets.weights, targets.denominator
        )
        shown = _figures(ops.xp, start, end, targets, loss) if figures else {}
        return Compared(loss, SpanCache(run, unpack), shown)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (T, 2); an excluded position has probability 0, and so gradient 0."""
        grads = ops.span_cross_entropy.backward(d_loss, cache.loss)
        return start_and_end_backward(ops, grads.start_logits, grads.end_logits, cache.unpack)


def start_and_end(ops: OpSet, logits: Array, targets: SpanTargets) -> tuple[Array, Array, ForwardRun | None]:
    """logits (T, 2) -> those of start and end (B, S), -inf at excluded padding, and the run of the unpacking."""
    xp, layout, run = ops.xp, targets.layout, None
    if layout.packed:
        logits, run = ops.unpack.forward(logits, layout.slots, layout.valid, layout.places)
    both = xp.reshape(logits, (layout.batch, layout.length, 2))
    if targets.excluded:
        both = xp.where(xp.expand_dims(layout.mask, axis=2), both, xp.full_like(both, -math.inf))
    return column(xp, both, 0), column(xp, both, 1), run


def start_and_end_backward(ops: OpSet, start: Array, end: Array, run: ForwardRun | None) -> Array:
    """Gradients (B, S) of start and end, 0 at excluded padding -> gradient of the logits (T, 2)."""
    rows = ops.xp.reshape(ops.xp.stack([start, end], axis=2), (-1, 2))
    return rows if run is None else ops.unpack.backward(rows, run).x


def column(xp: Namespace, both: Array, number: int) -> Array:
    """both (B, S, 2) -> one of them, (B, S)."""
    return xp.squeeze(xp.take(both, xp.from_numpy(np.array([number])), axis=2), axis=2)


def _figures(xp: Namespace, start: Array, end: Array, targets: SpanTargets, loss: Array) -> dict[str, Figure]:
    count = xp.sum(targets.weights)
    right = [
        xp.astype(xp.argmax(logits, axis=-1) == wanted, targets.weights.dtype)
        for logits, wanted in ((start, targets.start), (end, targets.end))
    ]
    return {
        LOSS: Figure(loss * targets.denominator, count),
        "accuracy": Figure(xp.sum(targets.weights * right[0] * right[1]), count),
    }


FILE = "bertref/objectives/spans.py"
ROWS = (
    TensorRow("loss.total", "span_cross_entropy", (SPAN_LOGITS,), (), "", "", "loss.total", (SPAN_CROSS_ENTROPY, FILE),
              arguments=("start_positions", "end_positions")),
)  # fmt: skip
"""The loss in the table of the network (`topology`)."""
