"""Answers that somebody else computed, read from their file, one for each example of a part and in its order.

    .jsonl, .ndjson   {"prediction": ...}, or {"scores": {"label": 0.9, ...}} or {"scores": [0.1, 0.9]}; where they have
                      "index" (from 0) or "place" (as `predictions.jsonl` has it), these are held against the examples
    .tsv, .csv        a column "prediction", and maybe "index" or "id" (GLUE's files); or, without a header, the
                      probabilities of all labels in a row (`test_results.tsv`)
    anything else     a prediction a line
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..data.pretraining.text_files import JSONL, ending, read_lines
from ..data.tasks.tables import DELIMITERS, TableFormat, no_column, read_rows
from ..errors import InputError

INDEX = ("index", "id")


class GivenAnswer(NamedTuple):
    """`where` names file and line. `prediction` or `scores` is not None."""

    where: str
    prediction: Any
    scores: Any = None
    index: Any = None
    place: str | None = None


def read_given(path: Path, places: Sequence[str]) -> list[GivenAnswer]:
    """An answer for each example, whose places are given.

    Raises `InputError` naming file and line: for an answer that says nothing, an index that no example has or that
    comes twice, another place than the example's; and for another number of answers than of examples.
    """
    answers = list(_answers(path))
    numbered = [answer for answer in answers if answer.index is not None]
    if numbered:
        answers = _in_order(path, answers, len(places))
    if len(answers) != len(places):
        raise InputError(f"{path}: holds {len(answers)} predictions, but there are {len(places)} examples")
    for answer, place in zip(answers, places, strict=True):
        if answer.place is not None and answer.place != place:
            raise InputError(f"{answer.where}: is about {answer.place!r}, but this example is {place!r}")
    return answers


def _answers(path: Path) -> Iterator[GivenAnswer]:
    end = ending(path)
    if end in JSONL:
        yield from _json_answers(path)
    elif end in DELIMITERS and end != ".txt":
        yield from _table_answers(path)
    else:
        for number, line in enumerate(read_lines(path), 1):
            where = f"{path}, line {number}"
            if not line.strip():
                raise InputError(f"{where}: is blank; a prediction a line is needed")
            yield GivenAnswer(where, line.strip())


def _json_answers(path: Path) -> Iterator[GivenAnswer]:
    for line, values in read_rows(path):
        where = f"{path}, line {line}"
        if values.get("prediction") is None and values.get("scores") is None:
            raise InputError(f'{where}: has neither "prediction" nor "scores"')
        place = values.get("place")
        yield GivenAnswer(
            where, values.get("prediction"), values.get("scores"), values.get("index"),
            None if place is None else str(place),
        )  # fmt: skip


def _table_answers(path: Path) -> Iterator[GivenAnswer]:
    first = next(read_lines(path), "").split(DELIMITERS[ending(path)])
    if len(first) > 1 and all(is_number(value) for value in first):
        for line, values in read_rows(path, TableFormat(header=False)):
            yield GivenAnswer(f"{path}, line {line}", None, list(values.values()))
        return
    for line, values in read_rows(path):
        where = f"{path}, line {line}"
        if "prediction" not in values:
            raise no_column(f"{path}", "prediction", tuple(values))
        if not values["prediction"].strip():
            raise InputError(f"{where}: the prediction is empty")
        index = next((values[name] for name in INDEX if name in values), None)
        yield GivenAnswer(where, values["prediction"].strip(), None, index)


def _in_order(path: Path, answers: Sequence[GivenAnswer], count: int) -> list[GivenAnswer]:
    """The answers in the order of their indices, which have to be those of the examples, from 0."""
    found: dict[int, GivenAnswer] = {}
    for answer in answers:
        text = str(answer.index).strip()
        number = int(text) if text.isascii() and text.isdigit() else -1
        if not 0 <= number < count:
            raise InputError(f"{answer.where}: the index {text!r} is none of the examples, 0 to {count - 1}")
        if number in found:
            raise InputError(f"{answer.where}: the index {number} comes twice; first in {found[number].where}")
        found[number] = answer
    missing = [number for number in range(count) if number not in found]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {count} examples have no prediction; the first is index {missing[0]}"
        )
    return [found[number] for number in range(count)]


def is_number(text: str) -> bool:
    """Whether it spells a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
