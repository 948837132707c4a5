"""What a model says of every text of a part: logits and scores beside the truth.

A text that is seen through several windows has the mean of their logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded, require
from ..inference.sequence_classification import logits_of, scores
from ..tasks.labels import number_of, numbers_of
from ..tasks.texts import TextSettings, blocks_of, encoded, indicators, number

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TextAnswers:
    """N texts, K labels. `scores` are what the problem type makes of `logits` (N, K): probabilities, or numbers.

    `predictions` are the likeliest label (N,), 1 for each label from a probability of a half on (N, K), or numbers.
    `targets` are the numbers of the labels (N,), 0 and 1 (N, K) with several labels, or numbers (N, K); None where the
    part has no labels.
    """

    kind: str
    labels: tuple[str, ...]
    logits: Floats
    scores: Floats
    targets: npt.NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def predictions(self) -> npt.NDArray[Any]:
        if self.kind == "classification":
            return np.asarray(self.scores.argmax(axis=1))
        return np.asarray(self.scores >= 0.5, np.int64) if self.kind == "multi-label" else self.scores


def answer_texts(
    loaded: Loaded, kind: str, part: Part, settings: TextSettings, *, limit: int | None = None
) -> TextAnswers:
    """Answers for the examples of a part, the first `limit` of them, in their order.

    Raises `InputError` for a model without the head and for a label that the model does not know, naming the place.
    """
    require(loaded, "sequence_classification")
    table = numbers_of(loaded.labels)
    rows: list[Floats] = []
    targets: list[Any] = []
    for some in blocks_of(islice(part.read(), limit)):
        sequences = encoded(loaded.tokenizer, some, settings)
        rows.append(pooled_by_text(logits_of(loaded, [s for each in sequences for s in each]), sequences))
        targets += [_target(kind, example.label, table, example.place) for example in some]
    K = len(loaded.labels)
    logits = np.concatenate(rows) if rows else np.zeros((0, K))
    known = all(target is not None for target in targets)
    dtype = np.int64 if kind == "classification" else np.float64
    found = scores(loaded, loaded.ops.xp.from_numpy(logits))
    return TextAnswers(kind, loaded.labels, logits, found, np.array(targets, dtype) if known else None)


def _target(kind: str, label: Any, table: dict[str, int], place: str) -> Any:
    if label is None:
        return None
    if kind == "classification":
        return number_of(table, str(label), place)
    return [number(label, place)] if kind == "regression" else indicators(label, table, place)


def pooled_by_text(logits: Floats, sequences: Sequence[Sequence[Any]]) -> Floats:
    """Logits of all sequences (M, K) -> their means over each text's (N, K)."""
    counts = np.array([len(each) for each in sequences])
    starts = np.cumsum([0, *counts[:-1]])
    found: Floats = np.add.reduceat(logits, starts, axis=0) / counts[:, None]
    return found
