"""Reports and records of labelled words."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..data.tasks.examples import Part
from ..metrics.averages import scores as scores_from_counts
from ..metrics.classification import classification_report, confusion_matrix
from ..metrics.entities import entities
from ..metrics.value import Value, ratio
from .records import Record
from .report import EMPTY, Confusion, EvaluationReport
from .token_metrics import as_conlleval, entities_of, spell_entities
from .tokens import TokenAnswers

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def token_report(answers: TokenAnswers) -> EvaluationReport:
    """Of entities by their types; of labels that are no entities, each label's and the confusion matrix."""
    if answers.targets is None or not len(answers):
        return EMPTY
    if spell_entities(answers.labels):
        found = entities_of(answers)
        return EvaluationReport(found.rows, {"micro": found.micro, "macro": found.macro, "weighted": found.weighted})
    by_class = classification_report(answers.targets, answers.predictions)
    rows = {answers.labels[number]: row for number, row in by_class.rows.items()}
    counts = confusion_matrix(answers.targets, answers.predictions, len(answers.labels))
    confusion = Confusion(answers.labels, counts)
    return EvaluationReport(rows, {"macro": by_class.macro, "weighted": by_class.weighted}, confusion)


def token_resampled(answers: TokenAnswers) -> tuple[int, Callable[[Rows], Mapping[str, Value]]]:
    """F1, precision and recall of entities, and the accuracy of words, over sentences: sums of counts."""
    assert answers.targets is not None
    words = np.array([len(sentence) for sentence in answers.sentences])
    hits = np.concatenate([[0], np.cumsum(answers.targets == answers.predictions)])
    right = np.diff(hits[np.concatenate([[0], np.cumsum(words)])])
    counts = None
    if spell_entities(answers.labels):
        spelt = as_conlleval(answers)
        sides = (spelt.by_sentence(answers.targets), spelt.by_sentence(answers.predictions))
        counts = np.array([_counts(*pair) for pair in zip(*sides, strict=True)])

    def metrics(rows: Rows) -> dict[str, Value]:
        found = {"accuracy": ratio(int(right[rows].sum()), int(words[rows].sum()))}
        if counts is None:
            return found
        scores = scores_from_counts(*counts[rows].sum(axis=0).tolist())
        return {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall, **found}

    return len(words), metrics


def _counts(true: tuple[str, ...], said: tuple[str, ...]) -> tuple[int, int, int]:
    """Of one sentence: right, predicted and true entities."""
    there, found = set(entities(true)), set(entities(said))
    return len(there & found), len(found), len(there)


def token_records(answers: TokenAnswers, part: Part) -> Iterator[Record]:
    """A record for each sentence; it is as sure as its surest wrong word, or, if none is wrong, as its least sure."""
    predictions = answers.by_sentence(answers.predictions)
    truths = None if answers.targets is None else answers.by_sentence(answers.targets)
    start = 0
    for i, example in zip(range(len(answers)), part.read(), strict=False):
        said, truth = predictions[i], truths[i] if truths else None
        rows = None if answers.scores is None else answers.scores[start : start + len(said)]
        start += len(said)
        right = None if truth is None else said == truth
        yield Record(example.place, " ".join(example.words), list(said), None if truth is None else list(truth), right,
                     _confidence(rows, said, truth))  # fmt: skip


def _confidence(rows: np.ndarray | None, said: tuple[str, ...], truth: tuple[str, ...] | None) -> float | None:
    if rows is None or not len(rows):
        return None
    sure = rows.max(axis=1)
    wrong = np.array([a != b for a, b in zip(said, truth or said, strict=True)])
    return float(sure[wrong].max() if wrong.any() else sure.min())
