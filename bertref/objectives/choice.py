"""Multiple choice: the cross-entropy of the right one of C sequences, mean over the examples (`classes`).

Source: Devlin et al. 2019, section 4.4 (SWAG); transformers, `BertForMultipleChoice`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .. import model
from ..arrays import Array, Namespace
from ..config import Numerics
from ..dropout import Dropout
from ..heads import HEADS, Head
from ..heads.classifier import LOGITS
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe
from ..row import CROSS_ENTROPY, TensorRow
from . import classes
from .classes import ClassTargets, Weighing
from .head_objective import Compared, HeadObjective, LabelledHostBatch


class ChoiceTargets(NamedTuple):
    """The right choices, and how many there are of each example."""

    right: ClassTargets
    choices: int


@dataclass(frozen=True)
class ChoiceObjective(HeadObjective):
    """The right one of C sequences, on their pooled outputs. A batch is (B, C, S)."""

    head: ClassVar[Head] = HEADS["multiple_choice"]

    def count(self, batch: LabelledHostBatch) -> float:
        """The number of examples."""
        return float(len(batch.labels))

    def targets(
        self,
        xp: Namespace,
        batch: LabelledHostBatch,
        layout: Layout,
        numerics: Numerics,
        denominator: float,
        dtype: str,
    ) -> ChoiceTargets:
        """labels (B)."""
        right = classes.class_targets(xp, batch.labels, Weighing(), denominator, dtype)
        return ChoiceTargets(right, batch.input_ids.shape[1])

    def read(
        self, ops: OpSet, params: dict[str, Array], encoded: model.Encoded, targets: ChoiceTargets,
        dropout: Dropout | None, probe: Probe | None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """pooled (B*C, H) -> logits (B, C)."""
        logits, cache = self.head.forward(ops, params, encoded.pooled, targets.choices, dropout=dropout, probe=probe)
        return logits, cache

    def compare(self, ops: OpSet, logits: Array, targets: ChoiceTargets, *, figures: bool = False) -> Compared:
        """logits (B, C) -> loss, and figures `loss` and `accuracy`."""
        return classes.compare(ops, logits, targets.right, figures)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (B, C)."""
        return classes.compare_backward(ops, d_loss, cache)


FILE = "bertref/objectives/choice.py"
ROWS = (
    TensorRow("loss.total", "mean_cross_entropy", (LOGITS,), (), "", "", "loss.total", (CROSS_ENTROPY, FILE),
              arguments=("labels",)),
)  # fmt: skip
"""The loss in the table of the network (`topology`)."""
