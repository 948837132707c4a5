"""Classification of texts: the cross-entropy of the right class, mean over the texts (`classes`).

Source: Devlin et al. 2019, section 4.1; transformers, `BertForSequenceClassification`
(single_label_classification).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..arrays import Array, Namespace
from ..config import Numerics
from ..heads import HEADS, Head
from ..layout import Layout
from ..opset import OpSet
from . import classes
from .classes import ClassTargets, Weighing
from .head_objective import Compared, HeadObjective, LabelledHostBatch


@dataclass(frozen=True)
class ClassificationObjective(Weighing, HeadObjective):
    """Texts into classes, on the pooled output; `Weighing` says how classes count."""

    head: ClassVar[Head] = HEADS["sequence_classification"]

    def count(self, batch: LabelledHostBatch) -> float:
        """The sum of the weights of the labels."""
        return float(self.weights_of(batch.labels).sum())

    def targets(
        self,
        xp: Namespace,
        batch: LabelledHostBatch,
        layout: Layout,
        numerics: Numerics,
        denominator: float,
        dtype: str,
    ) -> ClassTargets:
        """labels (B)."""
        return classes.class_targets(xp, batch.labels, self, denominator, dtype)

    def compare(self, ops: OpSet, logits: Array, targets: ClassTargets, *, figures: bool = False) -> Compared:
        """logits (B, K) -> loss, and figures `loss` and `accuracy`."""
        classes.check_width(self.class_weights, logits.shape[1])
        return classes.compare(ops, logits, targets, figures)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (B, K)."""
        return classes.compare_backward(ops, d_loss, cache)
