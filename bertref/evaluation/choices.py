"""Which choice a model takes for every context of a part, beside the truth: its accuracy, and the loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..errors import InputError
from ..inference.loaded import Loaded, probabilities, require
from ..inference.multiple_choice import choice_logits
from ..metrics.classification import accuracy
from ..metrics.value import Value
from ..tasks.choices import ChoiceSettings, choices_of, encoded
from .losses import cross_entropy

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceAnswers:
    """N contexts of C choices. `scores` are the probabilities that `logits` (N, C) give; `targets` the numbers of the
    right choices (N,), None where they are not known."""

    logits: Floats
    scores: Floats
    targets: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """The likeliest choices (N,)."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)


def answer_choices(
    loaded: Loaded, kind: str, part: Part, settings: ChoiceSettings, *, limit: int | None = None
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
        rows.append(choice_logits(loaded, list(chain.from_iterable(sequences))).reshape(-1, count))
        targets += [example.label for example in some]
    logits = np.concatenate(rows) if rows else np.zeros((0, 2))
    known = [target for target in targets if target is not None]
    truth = np.array(known, np.int64) if len(known) == len(targets) else None
    return ChoiceAnswers(logits, probabilities(loaded, logits) if rows else logits, truth)


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
    return {
        "accuracy": accuracy(answers.targets, answers.predictions),
        "loss": cross_entropy(answers.logits, answers.targets),
    }
