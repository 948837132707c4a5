"""Which of several continuations fits a context: [CLS] context [SEP] choice [SEP], one sequence a choice.

Source: Devlin et al. 2019, section 4.4 (SWAG); transformers, `BertForMultipleChoice`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import heads
from ..errors import InputError, TextError
from ..text.encoding import Encoding, Truncate, check_texts
from .loaded import Loaded, measured, pooled, probabilities, require
from .team import Team, answered


class ChoiceScore(NamedTuple):
    """A choice, its number among those given (from 0), and its probability."""

    number: int
    text: str
    probability: float


def choose(
    loaded: Loaded, contexts: Sequence[str], choices: Sequence[Sequence[str]], *, truncate: Truncate | None = None
) -> list[list[ChoiceScore]]:
    """For each context its choices, best first; contexts may have different numbers of them.

    Raises `TextError` for contexts that are too long with one of their choices (unless they are cut, see `measured`),
    `InputError` for fewer than two choices and a model without the head.
    """
    require(loaded, "multiple_choice")
    check_texts(contexts, choices, *choices)
    if len(contexts) != len(choices):
        raise InputError(f"{len(contexts)} contexts and {len(choices)} lists of choices; every context has one")
    for context, some in zip(contexts, choices, strict=True):
        if len(some) < 2:
            raise InputError(f"{len(some)} choices for {context!r}; give at least two")
    reasons: dict[int, str] = {}
    rows: list[list[Encoding]] = []
    for i, (context, some) in enumerate(zip(contexts, choices, strict=True)):
        encodings, bad = measured(loaded, [context] * len(some), some, truncate)
        rows.append(encodings)
        if bad:
            number, reason = next(iter(bad.items()))
            reasons[i] = f"with choice {number + 1} {reason}"
    if reasons:
        raise TextError(reasons)
    # one context at a time, so that its numbers don't depend on its neighbours
    probs = [probabilities(loaded, choice_logits(loaded, row)[None])[0] for row in rows]
    return [_ranked(some, each) for some, each in zip(choices, probs, strict=True)]


def choice_logits(
    loaded: Loaded, encodings: Sequence[Encoding], team: Team | None = None
) -> npt.NDArray[np.float64]:
    """The logit of each sequence, a context with one choice, on the host and in their order (N,); sequences of like
    length share a batch, and a team the batches."""

    def of_batch(some: list[Encoding]) -> list[float]:
        logits, _ = heads.multiple_choice_forward(loaded.ops, loaded.params, pooled(loaded, some), 1)
        found: list[float] = loaded.ops.xp.to_numpy(logits)[:, 0].tolist()
        return found

    return np.array(answered(encodings, of_batch, team, parts_of=loaded), np.float64)


def _ranked(choices: Sequence[str], probs: npt.NDArray[np.float64]) -> list[ChoiceScore]:
    scored = [ChoiceScore(i, text, float(p)) for i, (text, p) in enumerate(zip(choices, probs, strict=True))]
    return sorted(scored, key=lambda found: -found.probability)
