"""Classification of tokens: the cross-entropy of the right class, mean over the tokens that have one (`classes`).

Source: Devlin et al. 2019, section 5.3 (CoNLL-2003); transformers, `BertForTokenClassification`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

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
class TokenObjective(ClassesObjective):
    """Tokens into classes, on the sequence; a negative label is ignored; `Weighing` says how classes count."""

    head: ClassVar[Head] = HEADS["token_classification"]

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


def rows_of(array: npt.NDArray[Any], attention_mask: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """A host array (B, S, ...) as the layout's rows (T, ...)."""
    rows = array.reshape(-1, *array.shape[2:])
    return rows[attention_mask.reshape(-1) != 0] if layout.packed else rows


FILE = "bertref/objectives/tokens.py"
ROWS = (
    TensorRow("loss.total", "mean_cross_entropy", (LOGITS,), (), "", "", "loss.total", (CROSS_ENTROPY, FILE),
              arguments=("labels",)),
)  # fmt: skip
"""The loss in the table of the network (`topology`)."""
