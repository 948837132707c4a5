"""Multi-label classification: every label a question of its own, mean over the B*K answers.

Source: transformers, `BertForSequenceClassification` (multi_label_classification).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..arrays import Array, Namespace
from ..config import Numerics
from ..heads import HEADS, Head
from ..layout import Layout
from ..opset import OpSet
from . import numbers
from .head_objective import Compared, HeadObjective, LabelledHostBatch
from .numbers import NumberTargets


@dataclass(frozen=True)
class MultiLabelObjective(HeadObjective):
    """Any of K labels for each text, on the pooled output."""

    head: ClassVar[Head] = HEADS["sequence_classification"]

    def count(self, batch: LabelledHostBatch) -> float:
        """B*K."""
        return float(batch.labels.size)

    def targets(
        self,
        xp: Namespace,
        batch: LabelledHostBatch,
        layout: Layout,
        numerics: Numerics,
        denominator: float,
        dtype: str,
    ) -> NumberTargets:
        """labels (B, K), 1 where a text has the label."""
        return numbers.number_targets(xp, batch, denominator, dtype)

    def compare(self, ops: OpSet, logits: Array, targets: NumberTargets, *, figures: bool = False) -> Compared:
        """logits (B, K) -> loss, and the figure `loss`."""
        numbers.check_shapes(logits.shape, targets.values.shape)
        loss, run = ops.binary_cross_entropy.forward(logits, targets.values, targets.denominator)
        return Compared(loss, run, numbers.figures(ops.xp, targets, loss) if figures else {})

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (B, K)."""
        return ops.binary_cross_entropy.backward(d_loss, cache).logits
