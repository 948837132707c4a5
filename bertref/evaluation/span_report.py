"""Metrics, reports and records of questions, whether a model answered them or a file did."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..data.tasks.examples import Part
from ..errors import InputError
from ..metrics.spans import SquadScores
from ..metrics.value import Value, mean
from .given_spans import GivenSpans
from .records import Record
from .report import EMPTY, EvaluationReport
from .span_metrics import metrics_of, scores_of, span_metrics
from .spans import SpanAnswersOfPart
from .squad_files import nbest

Answered = SpanAnswersOfPart | GivenSpans
Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def answered_metrics(answers: Answered, also: Sequence[str] = ()) -> dict[str, Value]:
    """See `span_metrics`."""
    if isinstance(answers, SpanAnswersOfPart):
        return span_metrics("question-answering", answers, also)
    found = metrics_of(answers.scores)
    for name in also:
        if name not in found:
            raise InputError(f"there is no metric {name!r} for these questions; choose from {', '.join(found)}")
    return found


def squad_scores(answers: Answered) -> SquadScores | None:
    """None where the truth is not known."""
    if isinstance(answers, GivenSpans):
        return answers.scores
    return None if answers.golds is None else scores_of(answers, answers.golds)


def span_report(answers: Answered) -> EvaluationReport:
    """How many questions there are of either sort, and what had no counterpart."""
    scores = squad_scores(answers)
    if scores is None:
        return EMPTY
    counts = {"questions": scores.overall.total}
    for name, part in (("with an answer", scores.has_answer), ("without an answer", scores.no_answer)):
        if part is not None:
            counts[name] = part.total
    unanswerable = answers.unanswerable if isinstance(answers, GivenSpans) else answers.threshold is not None
    missing = "without a prediction, left out" if unanswerable else "without a prediction, counted as wrong"
    counts |= {missing: scores.missing, "predictions for no question": scores.unknown}
    return EvaluationReport(counts={name: count for name, count in counts.items() if count or name == "questions"})


def span_resampled(answers: Answered) -> tuple[int, Callable[[Rows], Mapping[str, Value]]]:
    """Exact match and F1, over all questions and either sort of them: means over the questions that count."""
    scores = squad_scores(answers)
    assert scores is not None
    golds = answers.golds or {}
    columns = {name: np.array([100 * each[k] for each in scores.questions.values()])
               for k, name in enumerate(("exact", "f1"))}  # fmt: skip
    has = np.array([bool(golds[name]) for name in scores.questions])
    sorts = [] if scores.has_answer is None and scores.no_answer is None else [("HasAns", has), ("NoAns", ~has)]

    def metrics(rows: Rows) -> dict[str, Value]:
        found = {"exact_match": mean(columns["exact"][rows]), "f1": mean(columns["f1"][rows])}
        for prefix, mask in sorts:
            chosen = rows[mask[rows]]
            found |= {f"{prefix}_{name}": mean(column[chosen]) for name, column in columns.items()}
        return found

    return len(has), metrics


def span_records(answers: Answered, part: Part) -> Iterator[Record]:
    """A record for each question that has a prediction."""
    scores = squad_scores(answers)
    predictions = answers.predictions
    for example in part.read():
        name = example.place
        if name not in predictions:
            continue
        score = scores.questions.get(name) if scores else None
        golds = None if scores is None else [answer.text for answer in example.answers]
        right = None if score is None else score.exact == 1
        yield Record(name, example.question, predictions[name], golds, right, _confidence(answers, name))


def _confidence(answers: Answered, name: str) -> float | None:
    """The probability of the answer among the candidates."""
    if isinstance(answers, GivenSpans):
        return None
    listed = nbest(answers.candidates[name], answers.threshold is not None)
    said = answers.prediction_of(name)
    return next((each["probability"] for each in listed if each["text"] == said), None)
