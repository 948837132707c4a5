"""Multi-label classification: every label a question of its own, mean over the B*K answers.

Source: transformers, `BertForSequenceClassification` (multi_label_classification).
"""

from dataclasses import dataclass
from typing import Any

from ..arrays import Array
from ..heads.classifier import LOGITS
from ..opset import OpSet
from ..row import BINARY_CROSS_ENTROPY, TensorRow
from . import numbers
from .head_objective import Compared
from .numbers import NumbersObjective, NumberTargets


@dataclass(frozen=True)
class MultiLabelObjective(NumbersObjective):
    """Any of K labels for each text, on the pooled output; labels (B, K) are 1 where a text has the label."""

    def compare(self, ops: OpSet, logits: Array, targets: NumberTargets, *, figures: bool = False) -> Compared:
        """logits (B, K) -> loss, and the figure `loss`."""
        numbers.check_shapes(logits.shape, targets.values.shape)
        loss, run = ops.binary_cross_entropy.forward(logits, targets.values, targets.denominator)
        return Compared(loss, run, numbers.figures(ops.xp, targets, loss) if figures else {})

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (B, K)."""
        return ops.binary_cross_entropy.backward(d_loss, cache).logits


FILE = "bertref/objectives/multi_label.py"
ROWS = (
    TensorRow("loss.total", "mean_binary_cross_entropy", (LOGITS,), (), "", "", "loss.total",
              (BINARY_CROSS_ENTROPY, FILE), arguments=("labels",)),
)  # fmt: skip
"""The loss in the table of the network (`topology`)."""
