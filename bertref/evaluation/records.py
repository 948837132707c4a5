"""What is said of each example, one record each: for files of predictions, and for a look at the worst mistakes."""

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """One example.

    place        of the example, as readers name it; of a question its id
    shown        its text
    prediction   a label, labels, a number, an answer; `truth` likewise, None where it is not known
    right        whether they agree; None where the truth is not known, or a number can't be right or wrong
    confidence   how sure the prediction is: a probability; of a number the size of the error, None where not known
    scores       by label, None where not known
    """

    place: str
    shown: str
    prediction: Any
    truth: Any = None
    right: bool | None = None
    confidence: float | None = None
    scores: Mapping[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """What a line of `predictions.jsonl` says."""
        values: dict[str, Any] = {"place": self.place, "prediction": self.prediction}
        if self.truth is not None:
            values["truth"] = self.truth
        if self.confidence is not None and math.isfinite(self.confidence):
            values["confidence"] = self.confidence
        return values if self.scores is None else {**values, "scores": dict(self.scores)}


def worst(records: Iterable[Record], count: int) -> list[Record]:
    """The `count` most confident of the wrong predictions, the surest first; of numbers the largest errors."""
    wrong = (record for record in records if record.right is not True and record.confidence is not None)
    known = (record for record in wrong if record.truth is not None)
    return heapq.nlargest(count, known, key=lambda record: record.confidence or 0.0)
