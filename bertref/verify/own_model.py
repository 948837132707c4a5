"""What our own model is asked to compute for a case: an objective, and the batch that it reads.

    right answers, emulated implementations and the backends' subjects     (objective, batch) -> losses_and_gradients
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import model
from ..arrays import Array
from ..data.tasks.batches import (
    ChoiceBatch,
    ClassificationBatch,
    MultiLabelBatch,
    RegressionBatch,
    SpanBatch,
    TokenBatch,
)
from ..dropout import Dropout
from ..heads import HEADS, Head
from ..objectives import (
    ChoiceObjective,
    ClassificationObjective,
    MultiLabelObjective,
    Objective,
    PretrainingObjective,
    RegressionObjective,
    SpanObjective,
    TokenObjective,
)
from ..opset import OpSet
from ..probes import Probe
from .given_gradient import GivenGradient
from .records import Case


@dataclass(frozen=True)
class NextSentenceObjective(ClassificationObjective):
    """Next sentences alone, on the pooled output; nothing is dropped before the head."""

    head: ClassVar[Head] = HEADS["next_sentence"]

    def read(
        self, ops: OpSet, params: dict[str, Array], encoded: model.Encoded, targets: Any, dropout: Dropout | None,
        probe: Probe | None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """pooled (B, H) -> logits (B, 2)."""
        logits, cache = self.head.forward(ops, params, encoded.pooled, probe)
        return logits, cache


OBJECTIVES: dict[str, tuple[Objective, Any]] = {
    "sequence_classification": (ClassificationObjective(), ClassificationBatch),
    "regression": (RegressionObjective(), RegressionBatch),
    "multi_label": (MultiLabelObjective(), MultiLabelBatch),
    "token_classification": (TokenObjective(), TokenBatch),
    "question_answering": (SpanObjective(), SpanBatch),
    "multiple_choice": (ChoiceObjective(), ChoiceBatch),
    "next_sentence": (NextSentenceObjective(), ClassificationBatch),
}
"""Name -> the objective, and the batch that holds its labels."""


def asked(case: Case) -> tuple[Objective, Any]:
    """The objective of a case that has one, and its batch."""
    if case.objective in ("pretraining", "masked_lm"):
        return PretrainingObjective(next_sentence=case.objective == "pretraining"), case.batch
    if case.objective in ("encoder", "pooler", "sentence_embedding"):
        return GivenGradient(case), case.batch
    objective, batch = OBJECTIVES[str(case.objective)]
    common = {name: getattr(case.batch, name) for name in ("input_ids", "attention_mask", "token_type_ids", "example")}
    labels = case.targets
    if case.objective == "next_sentence":
        labels = {"labels": case.batch.next_sentence_label}
    if case.objective == "multiple_choice":
        common = {name: a.reshape(-1, case.choices, *a.shape[1:]) for name, a in common.items()}
    return objective, batch(**common, **labels)
