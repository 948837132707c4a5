"""What a model, or somebody else's file, says of every text of a part, beside the truth.

A text that is seen through several windows has the mean of their logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..errors import InputError
from ..inference.loaded import Loaded, require
from ..inference.sequence_classification import logits_of, problem_of, scores
from ..inference.team import Team
from ..tasks.labels import number_of, numbers_of
from ..tasks.texts import TextSettings, blocks_of, encoded, indicators, number, pooled_by_text

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TextAnswers:
    """N texts, K labels.

    predictions   the likeliest label (N,); 1 for each label that holds (N, K); or numbers (N, K)
    targets       the truth in the same form, None where the part has none
    scores        what the problem type makes of `logits` (N, K): probabilities, or numbers; None where not known
    logits        None where not known
    """

    labels: tuple[str, ...]
    predictions: npt.NDArray[Any]
    targets: npt.NDArray[Any] | None
    scores: Floats | None = None
    logits: Floats | None = None

    def __len__(self) -> int:
        return len(self.predictions)

    def take(self, rows: npt.NDArray[np.int64]) -> "TextAnswers":
        """The answers for some of the texts, which may be taken several times."""
        columns = (self.predictions, self.targets, self.scores, self.logits)
        chosen: list[Any] = [None if column is None else column[rows] for column in columns]
        return TextAnswers(self.labels, *chosen)


PROBLEMS = {
    "classification": "single_label_classification", "regression": "regression",
    "multi-label": "multi_label_classification",
}  # fmt: skip


def answer_texts(
    loaded: Loaded, kind: str, part: Part, settings: TextSettings, *, limit: int | None = None,
    team: Team | None = None,
) -> TextAnswers:
    """Answers for the examples of a part, the first `limit` of them, in their order.

    Raises `InputError` for a model without the head and for a label that the model does not know, naming the place.
    """
    require(loaded, "sequence_classification")
    if problem_of(loaded) != PROBLEMS[kind]:
        raise InputError(f"this model does {problem_of(loaded)}, but the task is {kind}")
    table = numbers_of(loaded.labels)
    rows: list[Floats] = []
    targets: list[Any] = []
    for some in blocks_of(islice(part.read(), limit)):
        sequences = encoded(loaded.tokenizer, some, settings)
        rows.append(pooled_by_text(logits_of(loaded, [s for each in sequences for s in each], team), sequences))
        targets += [target_of(kind, example.label, table, example.place) for example in some]
    K = len(loaded.labels)
    logits = np.concatenate(rows) if rows else np.zeros((0, K))
    found = np.asarray(scores(loaded, loaded.ops.xp.from_numpy(logits)), np.float64)
    return TextAnswers(loaded.labels, predicted(kind, found), targets_of(kind, targets), found, logits)


def predicted(kind: str, found: Floats) -> npt.NDArray[Any]:
    """What scores (N, K) say: the likeliest label (N,); 1 for each label with a probability of a half or more (N, K);
    or the numbers (N, K)."""
    if kind == "classification":
        return np.asarray(found.argmax(axis=1))
    return np.asarray(found >= 0.5, np.int64) if kind == "multi-label" else found


def targets_of(kind: str, targets: Sequence[Any]) -> npt.NDArray[Any] | None:
    """The truth of all texts as an array; None if one of them has none."""
    if any(target is None for target in targets):
        return None
    return np.array(targets, np.float64 if kind == "regression" else np.int64)


def target_of(kind: str, label: Any, table: dict[str, int], place: str) -> Any:
    """A label, number or labels as what `TextAnswers.targets` holds of it; None for None. Raises `InputError` naming
    the place for one that is unknown or no number."""
    if label is None:
        return None
    if kind == "classification":
        return number_of(table, str(label), place)
    return [number(label, place)] if kind == "regression" else indicators(label, table, place)
