"""Choices that somebody else made (see `given` for their files): the number of the choice, from 0, or all scores."""

from pathlib import Path
from typing import Any

import numpy as np

from ..data.tasks.examples import Part
from ..errors import InputError
from ..tasks.texts import number
from .choices import ChoiceAnswers
from .given import GivenAnswer, read_given


def given_choices(part: Part, path: Path) -> ChoiceAnswers:
    """The choices in a file for the examples of a part.

    Raises `InputError` naming file and line for what `read_given` finds, a number that no choice has, and scores that
    are not one number for each choice.
    """
    places: list[str] = []
    targets: list[int | None] = []
    counts: list[int] = []
    for example in part.read():
        places.append(example.place)
        targets.append(example.label)
        counts.append(len(example.choices))
    given = read_given(path, places)
    scored = all(answer.scores is not None for answer in given)
    rows = [_scores(answer, count) for answer, count in zip(given, counts, strict=True)] if scored else None
    said = [_choice(answer, count) for answer, count in zip(given, counts, strict=True)]
    known = [target for target in targets if target is not None]
    truth = np.array(known, np.int64) if len(known) == len(targets) else None
    return ChoiceAnswers(np.array(said, np.int64), truth, None if rows is None else np.array(rows))


def _choice(answer: GivenAnswer, count: int) -> int:
    value: Any = answer.prediction
    if value is None:
        return int(np.argmax(_scores(answer, count)))
    if str(value).strip() not in map(str, range(count)):
        raise InputError(f"{answer.where}: the prediction is {value!r}; it has to be the number of a choice, "
                         f"0 to {count - 1}")  # fmt: skip
    return int(value)


def _scores(answer: GivenAnswer, count: int) -> list[float]:
    given = list(answer.scores.values()) if isinstance(answer.scores, dict) else answer.scores
    if not isinstance(given, list) or len(given) != count:
        raise InputError(f"{answer.where}: the scores have to be {count} numbers, one for each choice")
    return [number(value, answer.where) for value in given]
