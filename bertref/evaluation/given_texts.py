"""Labels, several labels or numbers of texts that somebody else computed (see `given` for their files)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.tasks.examples import Part
from ..errors import InputError
from ..tasks.labels import found_labels, number_of, numbers_of
from ..tasks.texts import indicators, number
from .given import GivenAnswer, read_given
from .texts import TextAnswers, predicted, target_of, targets_of


def given_texts(kind: str, part: Part, path: Path, labels: Sequence[str]) -> TextAnswers:
    """The answers in a file for the examples of a part. `labels` in their order; (): those of the part.

    Raises `InputError` naming file and line for what `read_given` finds, and for an unknown label, a prediction that is
    no number, scores that are not one finite number for each label.
    """
    places, truths = [], []
    for example in part.read():
        places.append(example.place)
        truths.append(example.label)
    names = _names(kind, truths, labels, part.name)
    table = numbers_of(names)
    targets = targets_of(kind, [target_of(kind, truth, table, p) for truth, p in zip(truths, places, strict=True)])
    given = read_given(path, places)
    scored = [answer for answer in given if answer.scores is not None]
    if scored and len(scored) != len(given):
        raise InputError(f"{path}: some predictions have scores and others don't")
    scores = np.array([_scores(answer, table) for answer in given]) if scored and kind != "regression" else None
    said = [_prediction(kind, answer, table) for answer in given if answer.prediction is not None]
    if said and len(said) != len(given):
        raise InputError(f"{path}: some lines have a prediction and others don't")
    if said:
        predictions: Any = np.array(said, np.float64 if kind == "regression" else np.int64)
    elif kind == "regression":
        predictions = np.array([_scores(answer, table) for answer in given])
    else:
        assert scores is not None
        predictions = predicted(kind, scores)
    return TextAnswers(tuple(names), predictions, targets, scores)


def _names(kind: str, truths: Sequence[Any], labels: Sequence[str], part: str) -> tuple[str, ...]:
    if labels:
        return tuple(labels)
    if kind == "regression":
        return ("LABEL_0",)
    if any(truth is None for truth in truths):
        raise InputError(f"{part}: has examples without labels; say which labels there are (--labels)")
    return found_labels(truths)


def _prediction(kind: str, answer: GivenAnswer, table: dict[str, int]) -> Any:
    value = answer.prediction
    if kind == "regression":
        return [number(value[0] if isinstance(value, list) and len(value) == 1 else value, answer.where)]
    if kind == "classification":
        return number_of(table, _word(value), answer.where)
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list):
        raise InputError(f"{answer.where}: the prediction is {json.dumps(value)[:40]}; a list of labels is needed")
    return indicators([_word(word) for word in words], table, answer.where)


def _word(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _scores(answer: GivenAnswer, table: dict[str, int]) -> list[float]:
    given = answer.scores
    if isinstance(given, dict):
        for label in given:
            number_of(table, label, answer.where)
        missing = [label for label in table if label not in given]
        if missing:
            raise InputError(f"{answer.where}: the scores have none for the label {missing[0]!r}")
        given = [given[label] for label in table]
    if not isinstance(given, list) or len(given) != len(table):
        raise InputError(f"{answer.where}: the scores have to be a number for each of the labels {', '.join(table)}")
    return [number(value, answer.where) for value in given]
