"""Classification of tokens: the cross-entropy of the right class, mean over the tokens that have one (`classes`).

Source: Devlin et al. 2019, section 5.3 (CoNLL-2003); transformers, `BertForTokenClassification`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from ..arrays import Array, Namespace
from ..config import Numerics
from ..heads import HEADS, Head
from ..layout import Layout
from ..opset import OpSet
from . import classes
from .classes import ClassTargets, Weighing
from .head_objective import Compared, HeadObjective, LabelledHostBatch


@dataclass(frozen=True)
class TokenObjective(Weighing, HeadObjective):
    """Tokens into classes, on the sequence; a negative label is ignored; `Weighing` says how classes count."""

    head: ClassVar[Head] = HEADS["token_classification"]

    def count(self, batch: LabelledHostBatch) -> float:
        """The sum of the weights of the labels that count."""
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
        """labels (B, S) -> those of the layout's rows (T)."""
        labels = rows_of(batch.labels, batch.attention_mask, layout)
        return classes.class_targets(xp, labels, self, denominator, dtype)

    def compare(self, ops: OpSet, logits: Array, targets: ClassTargets, *, figures: bool = False) -> Compared:
        """logits (T, K) -> loss, and figures `loss` and `accuracy`."""
        classes.check_width(self.class_weights, logits.shape[1])
        return classes.compare(ops, logits, targets, figures)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (T, K)."""
        return classes.compare_backward(ops, d_loss, cache)


def rows_of(array: npt.NDArray[Any], attention_mask: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """A host array (B, S, ...) as the layout's rows (T, ...)."""
    rows = array.reshape(-1, *array.shape[2:])
    return rows[attention_mask.reshape(-1) != 0] if layout.packed else rows
