"""Which choice a model takes for every context of a part, beside the truth: its accuracy, and the loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..errors import InputError
from ..inference.loaded import Loaded, probabilities, require
from ..inference.multiple_choice import choice_logits
from ..inference.team import Team
from ..metrics.classification import accuracy
from ..metrics.value import Value
from ..tasks.choices import ChoiceSettings, choices_of, encoded
from .losses import cross_entropy

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceAnswers:
    """N contexts of C choices. `predictions` are the numbers of the likeliest (N,), `targets` those of the right ones,
    None where they are not known. `scores` are the probabilities that `logits` (N, C) give; None where not known."""

    predictions: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64] | None
    scores: Floats | None = None
    logits: Floats | None = None

    def __len__(self) -> int:
        return len(self.predictions)

    def take(self, rows: npt.NDArray[np.int64]) -> "ChoiceAnswers":
        """The answers for some of the contexts, which may be taken several times."""
        columns = (self.predictions, self.targets, self.scores, self.logits)
        chosen: list[Any] = [None if column is None else column[rows] for column in columns]
        return ChoiceAnswers(*chosen)


def answer_choices(
    loaded: Loaded, kind: str, part: Part, settings: ChoiceSettings, *, limit: int | None = None,
    team: Team | None = None,
) -> ChoiceAnswers:
    """Answers for the examples of a part, the first `limit` of them, in their order.

    Raises `InputError` for a model without the head, and for an example with another number of choices than the first,
    naming its place.
    """
    require(loaded, "multiple_choice")
    rows: list[Floats] = []
    targets: list[int | None] = []
    count: int | None = None
    for some in choices_of(islice(part.read(), limit)):
        count = len(some[0].choices)
        sequences = encoded(loaded.tokenizer, some, settings)
        rows.append(choice_logits(loaded, list(chain.from_iterable(sequences)), team).reshape(-1, count))
        targets += [example.label for example in some]
    logits = np.concatenate(rows) if rows else np.zeros((0, 2))
    known = [target for target in targets if target is not None]
    truth = np.array(known, np.int64) if len(known) == len(targets) else None
    found = probabilities(loaded, logits) if rows else logits
    return ChoiceAnswers(logits.argmax(axis=1), truth, found, logits)


METRICS = ("accuracy", "loss")


def check_choice_metrics(kind: str, names: Sequence[str]) -> None:
    """Raises `InputError` for a metric that choices don't have."""
    for name in names:
        if name not in METRICS:
            raise InputError(f"there is no metric {name!r} for {kind}; choose from {', '.join(METRICS)}")


def choice_metrics(kind: str, answers: ChoiceAnswers, also: Sequence[str] = ()) -> dict[str, Value]:
    """Accuracy and loss, {} where the truth is not known. Raises `InputError` for another metric in `also`."""
    check_choice_metrics(kind, also)
    if answers.targets is None:
        return {}
    found = {"accuracy": accuracy(answers.targets, answers.predictions)}
    if answers.logits is not None:
        found["loss"] = cross_entropy(answers.logits, answers.targets)
    return found
