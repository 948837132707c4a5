"""Which of several continuations fits a context: [CLS] context [SEP] choice [SEP], one sequence a choice.

Source: Devlin et al. 2019, section 4.4 (SWAG); transformers, `BertForMultipleChoice`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .. import heads
from ..errors import InputError, TextError
from ..text.encoding import Encoding, Truncate
from .loaded import BATCH, Loaded, measured, pooled, require


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
    return [_choose(loaded, row, some) for row, some in zip(rows, choices, strict=True)]


def _choose(loaded: Loaded, encodings: Sequence[Encoding], choices: Sequence[str]) -> list[ChoiceScore]:
    xp = loaded.ops.xp
    parts = [pooled(loaded, encodings[i : i + BATCH]) for i in range(0, len(encodings), BATCH)]
    logits, _ = heads.multiple_choice_forward(loaded.ops, loaded.params, xp.concat(parts, axis=0), len(choices))
    probs = xp.to_numpy(loaded.ops.softmax.forward(logits)[0])[0]
    scored = [ChoiceScore(i, text, float(p)) for i, (text, p) in enumerate(zip(choices, probs, strict=True))]
    return sorted(scored, key=lambda found: -found.probability)
