"""What evaluation needs to know of each kind of task: one record a kind, in one table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..data.tasks.catalogue import data_set_info
from ..data.tasks.examples import Part
from ..metrics.value import Value
from .choice_report import choice_records, choice_report
from .choices import ChoiceAnswers, answer_choices, check_choice_metrics, choice_metrics
from .column_files import write_columns
from .given_choices import given_choices
from .given_spans import GivenSpans, given_spans
from .given_texts import given_texts
from .given_tokens import given_tokens
from .options import EvaluateOptions
from .records import Record
from .report import EvaluationReport
from .settings import SequenceOptions, choice_settings, span_settings, text_settings, token_settings
from .span_metrics import check_span_metrics
from .span_report import answered_metrics, span_records, span_report, span_resampled
from .spans import SpanAnswersOfPart, answer_spans
from .squad_files import write_squad_files
from .text_files import write_scores
from .text_metrics import check_text_metrics, text_metrics
from .text_report import text_records, text_report
from .texts import TextAnswers, answer_texts
from .token_metrics import check_token_metrics, token_metrics
from .token_report import token_records, token_report, token_resampled
from .tokens import TokenAnswers, answer_tokens

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]
Resampled = tuple[int, Callable[[Rows], Mapping[str, Value]]]
"""How many examples there are to draw from, and the metrics of those that were drawn, by their numbers."""


@dataclass(frozen=True)
class EvaluationKind:
    """One kind of task; `answers` are the kind's own, as many as `len(answers)`.

    settings    options -> how examples become sequences
    answer      (model, part, settings, limit=, team=) -> answers; a team shares the work
    given       (part, file, options) -> answers that somebody else computed
    check       (names of metrics, labels or None where not known): raises `InputError` for one that there is not
    metrics     (answers, names asked for beside the usual ones) -> metrics, {} where the truth is not known
    resampled   answers -> `Resampled`, for bootstrap
    records     (answers, part) -> a record for each example
    report      answers -> tables and curves
    files       (folder, suffix of the names, answers): writes the files that are the kind's habit
    """

    settings: Callable[[SequenceOptions], Any]
    answer: Callable[..., Any]
    given: Callable[[Part, Path, EvaluateOptions], Any]
    check: Callable[[Sequence[str], Sequence[str] | None], None]
    metrics: Callable[[Any, Sequence[str]], dict[str, Value]]
    resampled: Callable[[Any], Resampled]
    records: Callable[[Any, Part], Iterator[Record]]
    report: Callable[[Any], EvaluationReport]
    files: Callable[[Path, str, Any], None]


def _texts(kind: str) -> EvaluationKind:
    def resampled(answers: TextAnswers) -> Resampled:
        return len(answers), lambda rows: text_metrics(kind, answers.take(rows))

    def files(folder: Path, suffix: str, answers: TextAnswers) -> None:
        write_scores(folder, suffix, answers.predictions if kind == "regression" else answers.scores)

    return EvaluationKind(
        settings=text_settings,
        answer=lambda loaded, *given, **how: answer_texts(loaded, kind, *given, **how),
        given=lambda part, path, options: given_texts(kind, part, path, options.labels),
        check=lambda names, labels: check_text_metrics(kind, names),
        metrics=partial(text_metrics, kind),
        resampled=resampled,
        records=partial(text_records, kind),
        report=partial(text_report, kind),
        files=files,
    )


def _choices(kind: str) -> EvaluationKind:
    def resampled(answers: ChoiceAnswers) -> Resampled:
        return len(answers), lambda rows: choice_metrics(kind, answers.take(rows))

    return EvaluationKind(
        settings=choice_settings,
        answer=lambda loaded, *given, **how: answer_choices(loaded, kind, *given, **how),
        given=lambda part, path, options: given_choices(part, path),
        check=lambda names, labels: check_choice_metrics(kind, names),
        metrics=partial(choice_metrics, kind),
        resampled=resampled,
        records=choice_records,
        report=choice_report,
        files=lambda folder, suffix, answers: write_scores(folder, suffix, answers.scores),
    )


def _tokens(kind: str) -> EvaluationKind:
    def files(folder: Path, suffix: str, answers: TokenAnswers) -> None:
        write_columns(folder / f"predictions{suffix}.txt", answers)

    return EvaluationKind(
        settings=token_settings,
        answer=lambda loaded, *given, **how: answer_tokens(loaded, kind, *given, **how),
        given=lambda part, path, options: given_tokens(part, path, options.labels),
        check=partial(check_token_metrics, kind),
        metrics=partial(token_metrics, kind),
        resampled=token_resampled,
        records=token_records,
        report=token_report,
        files=files,
    )


def _given_spans(part: Part, path: Path, options: EvaluateOptions) -> GivenSpans:
    """The rule is that of the data set, and where none is named, that of the part."""
    unanswerable = None if options.task == "question-answering" else data_set_info(options.task).unanswerable
    odds = None if options.null_odds is None else Path(options.null_odds)
    return given_spans(part, path, odds, options.null_threshold, unanswerable=unanswerable)


def _span_files(folder: Path, suffix: str, answers: SpanAnswersOfPart | GivenSpans) -> None:
    if isinstance(answers, SpanAnswersOfPart):
        write_squad_files(folder / suffix.removeprefix("_"), answers)


QUESTIONS = "question-answering"
SPANS = EvaluationKind(
    settings=span_settings,
    answer=lambda loaded, *given, **how: answer_spans(loaded, QUESTIONS, *given, **how),
    given=_given_spans,
    check=lambda names, labels: check_span_metrics(QUESTIONS, names),
    metrics=answered_metrics,
    resampled=span_resampled,
    records=span_records,
    report=span_report,
    files=_span_files,
)

KINDS: dict[str, EvaluationKind] = {
    **{kind: _texts(kind) for kind in ("classification", "regression", "multi-label")},
    QUESTIONS: SPANS,
    "multiple-choice": _choices("multiple-choice"),
    "token-classification": _tokens("token-classification"),
}


def check_metrics(kind: str, names: Sequence[str], labels: Sequence[str] | None = None) -> None:
    """Raises `InputError` for a metric that a kind of task does not have, or not with these labels, where they are
    known."""
    KINDS[kind].check(names, labels)
