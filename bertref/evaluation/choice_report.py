"""Reports and records of choices."""

from collections.abc import Iterator

import numpy as np

from ..data.tasks.examples import Part
from ..metrics.calibration import reliability_bins
from .choices import ChoiceAnswers
from .records import Record
from .report import EMPTY, EvaluationReport
from .text_metrics import are_probabilities


def choice_report(answers: ChoiceAnswers) -> EvaluationReport:
    """Are the choices as often right as they are sure."""
    if answers.targets is None or not len(answers) or not are_probabilities(answers.scores):
        return EMPTY
    return EvaluationReport(reliability=reliability_bins(answers.targets, np.asarray(answers.scores)))


def choice_records(answers: ChoiceAnswers, part: Part) -> Iterator[Record]:
    """A record for each example; predictions are numbers of choices, from 0."""
    for i, example in zip(range(len(answers)), part.read(), strict=False):
        said = int(answers.predictions[i])
        row = None if answers.scores is None else answers.scores[i]
        scores = None if row is None else {str(number): float(p) for number, p in enumerate(row)}
        shown = f"{example.context}  |  {example.choices[said]}"
        right = None if example.label is None else said == example.label
        confidence = None if row is None else float(row[said])
        yield Record(example.place, shown, said, example.label, right, confidence, scores)
