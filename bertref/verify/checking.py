"""Checking a live subject: run twice, compared with itself, then with the reference."""

import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..layout import check_ids
from .cases.another import another
from .diagnosis.blind_spots import blind_spots as blind_spots_of
from .diagnosis.diagnose import diagnose
from .diagnosis.scene import Scene
from .graph.axes import AxesOf, split
from .graph.feeding import feed as feed_steps
from .judgement.judge import Judgement, judged
from .meant import as_subject, case_for, chosen, part
from .records import QUANTISED, Answers, Arrays, Case, Diagnosis, Report
from .report.words import explain
from .subject import ComputesOps, Subject


class DiagnosisFailed(RuntimeWarning):
    """The search for a cause was stopped by a defect of bertref's; the rest of the report holds."""


def check(
    subject: Any,
    case: Case | None = None,
    *,
    precision: str | None = None,
    wanted: Collection[str] | None = None,
    only: str | None = None,
    repeat: bool = True,
    feed: bool = False,
    diagnosis: bool | Callable[[Report], bool] = True,
    without: Collection[str] = (),
    blind_spots: bool = False,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Asks a subject and judges its answers.

    subject    a name ("torch:cuda", "onnx:FILE", see `subjects.parse`), a torch module, a function of a case, or any
               object of the protocols in `subject` and `subjects.python` (`meant.as_subject`)
    case       what it is asked; None: one that the subject can compute is made of `seed` and `options`: size, dialect,
               optimizer, edge, ... (`meant.case_for`)
    precision  overrides what the subject declares, one of `records.PRECISIONS`
    wanted     the answers to ask for, as names or patterns such as "layer.*.output"; None: all
    only       "forward", "backward" or "update": only that part is judged
    repeat     a live subject is asked twice, unless this is False: what differs between two runs isn't a mistake in
               the mathematics but dropout or a race, and is reported as that
    feed       every step that the subject can do by itself (`subject.ComputesOps`) is also done from the reference's
               inputs (`feeding`): finds the wrong one in a subject that doesn't record what goes into it
    diagnosis  where it diverges, the cause is looked for (`diagnosis.diagnose`), or, if this is a function, where that
               says so of the report; a live subject is asked another case then. What stops that search is a warning,
               `DiagnosisFailed`, and no error
    without    ids of causes that are not to be tried
    blind_spots  where it is right, what it could have computed otherwise without being called wrong is looked for
               (`diagnosis.blind_spots`), which takes longer than the judging

    Raises what the subject raises, and `InputError` where these can't be understood or it can't be fed.
    """
    subject = as_subject(subject)
    if feed and not isinstance(subject, ComputesOps):
        raise InputError(f"{subject.name} can't be fed: it has no answer_step(case, name, inputs); don't ask for it")
    if case is None:
        case = case_for(subject, seed, **options)
    elif options or seed:
        raise InputError(f"verify: a case is given; {', '.join(sorted(options)) or 'seed'} would make another")
    check_ids(case.config, case.batch.input_ids, case.batch.token_type_ids)
    names = chosen(case, tuple(wanted or ()), only)
    seconds = {}
    start = time.perf_counter()
    answers = subject.answer(case, names)
    seconds["subject"] = time.perf_counter() - start
    again: Arrays = {}
    if subject.live and repeat:
        start = time.perf_counter()
        again = differences(case, answers, subject.answer(case, names))
        seconds["again"] = time.perf_counter() - start
    start = time.perf_counter()
    report, judgement = judged(case, answers, precision or subject.precision, subject=subject.name, again=again)
    seconds["judging"] = time.perf_counter() - start
    if feed:
        start = time.perf_counter()
        report = feed_steps(subject, case, report, names)
        seconds["feeding"] = time.perf_counter() - start
    if only is not None:
        report = part(report, only, case)
    if report.verdict == "diverges" and (diagnosis(report) if callable(diagnosis) else diagnosis):
        start = time.perf_counter()
        report = _diagnosed(subject, case, report, judgement, without)
        seconds["diagnosis"] = time.perf_counter() - start
    if blind_spots and report.verdict == "right":
        start = time.perf_counter()
        report = _with_blind_spots(report, judgement)
        seconds["blind spots"] = time.perf_counter() - start
    return replace(report, seconds=seconds)


def _with_blind_spots(report: Report, judgement: Judgement) -> Report:
    """What the nearest integer hides depends on the file's scales, and isn't gone through."""
    if report.precision == QUANTISED:
        return replace(report, notes=(*report.notes, "what could not have been seen isn't known of int8"))
    return replace(report, blind_spots=blind_spots_of(report, Scene(judgement)))


def _diagnosed(
    subject: Subject, case: Case, report: Report, judgement: Judgement, without: Collection[str]
) -> Report:
    """With why it diverges. Whatever goes wrong in the search, the report is not to suffer from it."""
    refused: list[str] = []

    def other(kind: str, i: int) -> Scene | None:
        return _another(subject, case, kind, i, judgement, refused)

    try:
        found = diagnose(report, Scene(judgement), other, without=without)
    except Exception as error:
        what = _in_a_line(error)
        warnings.warn(DiagnosisFailed(f"the search for the cause failed: {what}"), stacklevel=3)
        found = Diagnosis("failed", note=what)
    return replace(report, diagnosis=found, notes=(*report.notes, *refused[:1]))


def _another(
    subject: Subject, case: Case, kind: str, i: int, judgement: Judgement, refused: list[str]
) -> Scene | None:
    """The i-th other case, answered by the same subject up to a kind of answer; None, if it can't be asked, or not
    that: if this is the first one, what that means is added to `refused`. Who takes a step whatever is asked for gets
    a case with one."""
    if not subject.live:
        return None
    kinds = {"": ("",), "grad": ("", "grad"), "update": ("", "grad", "update")}[kind]
    names = tuple(name for name in judgement.values if split(name)[0] in kinds)
    for step in sorted({kind == "update", case.optimizer is not None}):
        other = another(case, i, step=step)
        try:
            answers = subject.answer(other, names)
        except Exception as error:  # a subject may be anything, and made for one size
            said = _in_a_line(error)
        else:
            return Scene(judged(other, answers, judgement.precision)[1])
    if i == 0:
        of = {"": "", "grad": " of wrong gradients", "update": " of wrong updates"}[kind]
        refused.append(f"causes{of} are proved by this case alone; the subject can't answer another one: {said}")
    return None


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def differences(case: Case, first: Answers, second: Answers) -> Arrays:
    """What the second run gave, of the answers that differ where they count."""
    axes = AxesOf(case)
    found = {}
    for name, value in first.values.items():
        other = second.values.get(name)
        try:
            counts = axes(name)
        except KeyError:
            continue
        if other is None or np.shape(other) != np.shape(value) or np.shape(value) != counts.shape:
            continue
        if np.array_equal(value, other):  # as nearly always; the rest tells where they differ
            continue
        if not np.array_equal(counts.clean(np.asarray(value)), counts.clean(np.asarray(other)), equal_nan=True):
            found[name] = np.asarray(other)
    return found


def assert_matches(subject: Any, case: Case | None = None, **options: Any) -> Report:
    """For tests: raises `AssertionError`, with what is wrong and where, unless the subject is right.

    Takes what `check` takes, and returns the report. Where nothing could be judged, that is an `AssertionError`, too.
    """
    __tracebackhide__ = True
    report = check(subject, case, **options)
    if report.verdict != "right":
        raise AssertionError(explain(report))
    return report
