"""Reports and records of texts: classification, regression, several labels."""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from ..data.tasks.examples import Part, TextExample
from ..metrics.averages import Scores
from ..metrics.calibration import reliability_bins
from ..metrics.classification import classification_report, confusion_matrix
from ..metrics.multi_label import Average, precision_recall_f1, scores_by_label
from ..metrics.ranking import precision_recall_curve, roc_curve
from .records import Record
from .report import EMPTY, Confusion, EvaluationReport, Shares
from .text_metrics import are_probabilities
from .texts import TextAnswers


def text_report(kind: str, answers: TextAnswers) -> EvaluationReport:
    """Empty where the truth is not known or there are no examples."""
    if answers.targets is None or not len(answers):
        return EMPTY
    if kind == "regression":
        return EvaluationReport(numbers=(answers.targets[:, 0], answers.predictions[:, 0]))
    return _of_classes(answers) if kind == "classification" else _of_labels(answers)


def _of_classes(answers: TextAnswers) -> EvaluationReport:
    labels, true, scores = answers.labels, answers.targets, answers.scores
    assert true is not None
    found = classification_report(true, answers.predictions)
    confusion = Confusion(labels, confusion_matrix(true, answers.predictions, len(labels)))
    marks = true[:, None] == np.arange(len(labels))
    said = answers.predictions[:, None] == np.arange(len(labels))
    sure = are_probabilities(scores)
    rows: dict[str, Scores] = {labels[number]: row for number, row in found.rows.items()}
    averages = {"macro": found.macro, "weighted": found.weighted}
    curves = [] if scores is None else [1] if len(labels) == 2 else list(range(len(labels)))
    return EvaluationReport(
        rows, averages, confusion, reliability_bins(true, scores) if sure else None,  # type: ignore[arg-type]
        *_curves(answers, marks, curves), _shares(labels, marks, said, scores if sure else None),
    )  # fmt: skip


def _of_labels(answers: TextAnswers) -> EvaluationReport:
    true, scores = answers.targets, answers.scores
    assert true is not None
    rows = dict(zip(answers.labels, scores_by_label(true, answers.predictions), strict=True))
    averages = {name: precision_recall_f1(true, answers.predictions, name) for name in get_args(Average)}
    curves = [] if scores is None else list(range(len(answers.labels)))
    return EvaluationReport(rows, averages, None, None, *_curves(answers, true, curves),
                  _shares(answers.labels, true, answers.predictions, scores))  # fmt: skip


def _curves(answers: TextAnswers, marks: np.ndarray, columns: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two curves of each label that some examples have and some don't."""
    scores = answers.scores
    if scores is None:
        return {}, {}
    some = [k for k in columns if 0 < marks[:, k].sum() < len(marks)]
    roc = {answers.labels[k]: roc_curve(marks[:, k], scores[:, k]) for k in some}
    return roc, {answers.labels[k]: precision_recall_curve(marks[:, k], scores[:, k]) for k in some}


def _shares(
    labels: tuple[str, ...], marks: np.ndarray, said: np.ndarray, probabilities: np.ndarray | None
) -> dict[str, Shares]:
    if probabilities is None:
        return {}
    columns = zip(marks.mean(axis=0), said.mean(axis=0), probabilities.mean(axis=0), strict=True)
    return {label: Shares(*map(float, row)) for label, row in zip(labels, columns, strict=True)}


def text_records(kind: str, answers: TextAnswers, part: Part) -> Iterator[Record]:
    """A record for each text, in order."""
    for i, example in zip(range(len(answers)), part.read(), strict=False):
        yield _record(kind, answers, i, example)


def _record(kind: str, answers: TextAnswers, i: int, example: TextExample) -> Record:
    shown = example.text if example.pair is None else f"{example.text}  |  {example.pair}"
    target = None if answers.targets is None else answers.targets[i]
    said = answers.predictions[i]
    if kind == "regression":
        error = None if target is None else abs(float(said[0] - target[0]))
        return Record(example.place, shown, float(said[0]), example.label, None, error)
    row = None if answers.scores is None else answers.scores[i]
    scores = None if row is None else dict(zip(answers.labels, map(float, row), strict=True))
    right = None if target is None else bool(np.all(said == target))
    if kind == "classification":
        confidence = None if row is None else float(row[said])
        truth = None if target is None else answers.labels[target]
        return Record(example.place, shown, answers.labels[said], truth, right, confidence, scores)
    truths = None if target is None else _named(answers.labels, target)
    confidence = None if row is None or target is None else _surest_mistake(row, said, target)
    return Record(example.place, shown, _named(answers.labels, said), truths, right, confidence, scores)


def _named(labels: tuple[str, ...], marks: np.ndarray) -> list[str]:
    return [label for label, mark in zip(labels, marks, strict=True) if mark]


def _surest_mistake(row: np.ndarray, said: np.ndarray, target: np.ndarray) -> float | None:
    """The largest probability of what was said wrongly of a label: that it holds, or that it does not."""
    wrong = said != target
    return float(np.where(said == 1, row, 1 - row)[wrong].max()) if wrong.any() else None
