"""Answers to questions that somebody else computed: SQuAD's `predictions.json`, and `null_odds.json` beside it.

    predictions.json   {"question id": "answer", ...}, "" for no answer
    null_odds.json     {"question id": how much "no answer" is preferred, ...}

A question without a prediction, and a prediction for no question, count by the rule of SQuAD's version; they are told.
JSON lines with "place" or "id" and "prediction" are read, too.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..data.pretraining.text_files import JSONL, ending, read_lines
from ..data.tasks.examples import Part
from ..data.tasks.tables import read_rows
from ..errors import InputError
from ..metrics.spans import SquadScores, score_v1, score_v2
from ..tasks.texts import number


@dataclass(frozen=True)
class GivenSpans:
    """Answers by the questions' ids. `golds` as in `SpanAnswersOfPart`. `unanswerable`: by the rule of version 2.0,
    where `null_odds` above the `threshold` make an answer ""."""

    predictions: dict[str, str]
    golds: dict[str, tuple[str, ...]]
    unanswerable: bool
    null_odds: dict[str, float] | None = None
    threshold: float = 0.0

    def __len__(self) -> int:
        return len(self.golds)

    @cached_property
    def scores(self) -> SquadScores:
        """SQuAD's scores of the answers."""
        if not self.unanswerable:
            return score_v1(self.golds, self.predictions)
        return score_v2(self.golds, self.predictions, self.null_odds, self.threshold)


def given_spans(
    part: Part, path: Path, null_odds: Path | None, threshold: float, *, unanswerable: bool | None
) -> GivenSpans:
    """The answers in a file for the questions of a part. `unanswerable` None: the rule is that of version 2.0 if some
    question of the part has no answer.

    Raises `InputError` for a file that is no such file, an id that comes twice, an answer that is no text, and a part
    whose answers are not known.
    """
    golds: dict[str, tuple[str, ...]] = {}
    none = False
    for example in part.read():
        if example.answerable is None:
            where = f"{part.files[0] if part.files else part.name}, question {example.place}"
            raise InputError(f"{where}: no answer is given; judging needs one, or is_impossible: true")
        none = none or not example.answerable
        golds[example.place] = tuple(answer.text for answer in example.answers)
    texts = dict(_answers(path))
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f'{path}, question {name}: the prediction is {json.dumps(text)[:40]}; a text is needed, '
                             '"" for no answer')  # fmt: skip
    if not texts.keys() & golds.keys():
        raise InputError(f"{path}: answers none of the {len(golds)} questions; is it about other data?")
    rule = none if unanswerable is None else unanswerable
    if null_odds is not None and not rule:
        raise InputError(f"{null_odds}: every question has an answer; --null-odds goes with version 2.0")
    odds = None
    if null_odds is not None:
        odds = {name: number(value, f"{null_odds}, question {name}") for name, value in _object(null_odds).items()}
    return GivenSpans(texts, golds, rule, odds, threshold)


def _answers(path: Path) -> Iterable[tuple[str, Any]]:
    if ending(path) not in JSONL:
        yield from _object(path).items()
        return
    seen: set[str] = set()
    for line, values in read_rows(path):
        name = values.get("place", values.get("id"))
        if name is None or "prediction" not in values:
            raise InputError(f'{path}, line {line}: "id" (or "place") and "prediction" are needed')
        if name in seen:
            raise InputError(f"{path}, line {line}: the question id {name!r} comes twice")
        seen.add(name)
        yield str(name), values["prediction"]


def _object(path: Path) -> dict[str, Any]:
    """A JSON object none of whose keys comes twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: the question id {twice!r} comes twice")
        return found

    try:
        content = json.loads("\n".join(read_lines(path)), object_pairs_hook=once)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a JSON object is needed, question id -> answer")
    return content
