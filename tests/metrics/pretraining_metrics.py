"""The four figures of a pre-training evaluation from predictions on the host: the oracle of the objective's own.

Source: google-research/bert, run_pretraining.py, `metric_fn`: accuracy and loss over masked positions,
weighted by `masked_lm_weights` (padded predictions have weight 0), accuracy and loss over sentence pairs.
All are means over the whole evaluation, not means of batch means.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bertref.errors import InputError
from bertref.metrics import WeightedMean


@dataclass(frozen=True)
class PretrainingMetrics:
    """The state between batches; each `add` returns a new one, and two of them add up with `+`."""

    masked_lm_accuracy: WeightedMean = field(default_factory=WeightedMean)
    masked_lm_loss: WeightedMean = field(default_factory=WeightedMean)
    next_sentence_accuracy: WeightedMean = field(default_factory=WeightedMean)
    next_sentence_loss: WeightedMean = field(default_factory=WeightedMean)

    def add_masked_lm(
        self, predicted_ids: ArrayLike, label_ids: ArrayLike, losses: ArrayLike, weights: ArrayLike
    ) -> "PretrainingMetrics":
        """One batch's predictions: best ids, true ids, losses in nats and weights, all (B, P)."""
        right = agreement(predicted_ids, label_ids)
        return replace(
            self,
            masked_lm_accuracy=self.masked_lm_accuracy + WeightedMean.of(right, weights),
            masked_lm_loss=self.masked_lm_loss + WeightedMean.of(losses, weights),
        )

    def add_next_sentence(self, predicted: ArrayLike, labels: ArrayLike, losses: ArrayLike) -> "PretrainingMetrics":
        """One batch's sentence pairs: best and true labels (1 = random), losses in nats, all (B,)."""
        right = agreement(predicted, labels)
        return replace(
            self,
            next_sentence_accuracy=self.next_sentence_accuracy + WeightedMean.of(right),
            next_sentence_loss=self.next_sentence_loss + WeightedMean.of(losses),
        )

    def __add__(self, other: "PretrainingMetrics") -> "PretrainingMetrics":
        return PretrainingMetrics(
            self.masked_lm_accuracy + other.masked_lm_accuracy,
            self.masked_lm_loss + other.masked_lm_loss,
            self.next_sentence_accuracy + other.next_sentence_accuracy,
            self.next_sentence_loss + other.next_sentence_loss,
        )

    def values(self) -> dict[str, float]:
        """The figures by name, in the original's order; NaN where nothing was counted."""
        return {name: getattr(self, name).value for name in self.__dataclass_fields__}


def agreement(predicted: ArrayLike, labels: ArrayLike) -> np.ndarray[Any, Any]:
    """Where the two are equal, in their one shape; `InputError` if they have two (they would broadcast)."""
    found, true = np.asarray(predicted), np.asarray(labels)
    if found.shape != true.shape:
        raise InputError(f"metric: predictions have shape {found.shape} and labels {true.shape}; they must agree")
    return np.asarray(found == true)
