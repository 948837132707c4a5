"""What evaluation needs to know of each kind of task: one record a kind, in one table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from ..data.tasks.examples import Part
from ..errors import InputError
from ..inference.loaded import Loaded
from ..metrics.value import Value
from ..tasks.texts import TextSettings
from ..text.encoding import Truncate
from .given_texts import given_texts
from .records import Record
from .report import Report
from .text_files import write_text_files
from .text_metrics import text_metrics
from .text_report import text_records, text_report
from .texts import TextAnswers, answer_texts


class SequenceOptions(Protocol):
    """How examples become sequences, as a person says it: `EvaluateOptions`, `FinetuneOptions`."""

    @property
    def max_length(self) -> int | None: ...
    @property
    def truncate(self) -> str: ...
    @property
    def windows(self) -> bool: ...
    @property
    def stride(self) -> int | None: ...
    @property
    def max_query_length(self) -> int: ...
    @property
    def max_answer_length(self) -> int: ...
    @property
    def null_threshold(self) -> float: ...


Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class EvaluationKind:
    """One kind of task; `answers` are the kind's own, as many as `len(answers)`.

    settings    options -> how examples become sequences
    answer      (model, part, settings, limit) -> answers
    given       (part, file, labels) -> answers that somebody else computed
    metrics     (answers, names asked for beside the usual ones) -> metrics
    resampled   answers -> (numbers of examples -> metrics), for bootstrap
    records     (answers, part) -> a record for each example
    report      answers -> tables and curves
    files       (folder, suffix of the names, answers, part): writes the files that are the kind's habit
    """

    settings: Callable[[SequenceOptions], Any]
    answer: Callable[[Loaded, Part, Any, int | None], Any]
    given: Callable[[Part, Path, Sequence[str]], Any]
    metrics: Callable[[Any, Sequence[str]], dict[str, Value]]
    resampled: Callable[[Any], Callable[[Rows], Mapping[str, Value]]]
    records: Callable[[Any, Part], Iterator[Record]]
    report: Callable[[Any], Report]
    files: Callable[[Path, str, Any, Part], None]


def text_settings(options: SequenceOptions) -> TextSettings:
    """Raises `AssertionError` unless the length is resolved."""
    assert options.max_length is not None
    return TextSettings(options.max_length, cast(Truncate, options.truncate), options.windows, options.stride)


def _texts(kind: str) -> EvaluationKind:
    def resampled(answers: TextAnswers) -> Callable[[Rows], Mapping[str, Value]]:
        return lambda rows: text_metrics(kind, answers.take(rows))

    return EvaluationKind(
        settings=text_settings,
        answer=lambda loaded, part, settings, limit: answer_texts(loaded, kind, part, settings, limit=limit),
        given=partial(given_texts, kind),
        metrics=partial(text_metrics, kind),
        resampled=resampled,
        records=partial(text_records, kind),
        report=partial(text_report, kind),
        files=partial(write_text_files, kind),
    )


KINDS: dict[str, EvaluationKind] = {name: _texts(name) for name in ("classification", "regression", "multi-label")}


def kind_of(name: str) -> EvaluationKind:
    """Raises `InputError` for a kind that can't be evaluated."""
    if name not in KINDS:
        raise InputError(f"{name} can't be evaluated yet; there are {', '.join(KINDS)}")
    return KINDS[name]
