"""Classification of texts: the cross-entropy of the right class, mean over the texts (`classes`).

Source: Devlin et al. 2019, section 4.1; transformers, `BertForSequenceClassification`
(single_label_classification).
"""

from dataclasses import dataclass
from typing import ClassVar

from ..arrays import Namespace
from ..config import Numerics
from ..heads import HEADS, Head
from ..heads.classifier import LOGITS
from ..layout import Layout
from ..row import CROSS_ENTROPY, TensorRow
from . import classes
from .classes import ClassesObjective, ClassTargets
from .head_objective import LabelledHostBatch


@dataclass(frozen=True)
class ClassificationObjective(ClassesObjective):
    """Texts into classes, on the pooled output; `Weighing` says how classes count."""

    head: ClassVar[Head] = HEADS["sequence_classification"]

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


FILE = "bertref/objectives/classification.py"
ROWS = (
    TensorRow("loss.total", "mean_cross_entropy", (LOGITS,), (), "", "", "loss.total", (CROSS_ENTROPY, FILE),
              arguments=("labels",)),
)  # fmt: skip
"""The loss in the table of the network (`topology`)."""
