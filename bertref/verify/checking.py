"""Checking a live subject: run twice, compared with itself, then with the reference."""

import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
from .axes import AxesOf
from .case import generate, generate_for
from .judge import compare
from .limit import LIMIT
from .records import Answers, Case, Finding, Report
from .subject import BringsWeights, Subject


def case_for(subject: Subject, seed: int = 0, *, size: str = "tiny", **options: Any) -> Case:
    """A generated case that the subject can compute: for its own architecture and weights, if it brings them."""
    brought = subject.weights() if isinstance(subject, BringsWeights) else None
    if brought is None:
        return generate(seed, size=size, **options)
    return generate_for(brought.config, brought.numerics, seed, params=brought.params)


def check(
    subject: Subject,
    case: Case,
    *,
    precision: str | None = None,
    wanted: Collection[str] | None = None,
    repeat: bool = True,
) -> Report:
    """Asks a subject and judges its answers. `precision` overrides what the subject declares.

    A live subject is asked twice, unless `repeat` is False: what differs between two runs isn't a mistake in the
    mathematics but dropout or a race, and is reported as that. Raises what the subject raises.
    """
    seconds = {}
    start = time.perf_counter()
    answers = subject.answer(case, wanted)
    seconds["subject"] = time.perf_counter() - start
    again: dict[str, float] = {}
    if subject.live and repeat:
        start = time.perf_counter()
        again = differences(case, answers, subject.answer(case, wanted))
        seconds["again"] = time.perf_counter() - start
    start = time.perf_counter()
    report = compare(case, answers, precision or subject.precision, subject=subject.name)
    seconds["judging"] = time.perf_counter() - start
    return replace(_with_differences(report, again), seconds=seconds)


def differences(case: Case, first: Answers, second: Answers) -> dict[str, float]:
    """The relative L2 difference of two runs, for the answers that differ where they count."""
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
        a, b = (counts.clean(np.asarray(x, np.float64)) for x in (value, other))
        if not np.array_equal(a, b, equal_nan=True):
            size = float(np.linalg.norm(np.nan_to_num(a)))
            found[name] = float(np.linalg.norm(np.nan_to_num(a) - np.nan_to_num(b))) / size if size else np.inf
    return found


def _with_differences(report: Report, again: dict[str, float]) -> Report:
    """The report with those findings that differ between runs by more than rounding explains."""
    if not again:
        return report
    findings, unsteady = [], []
    for finding in report.findings:
        far = _runs_apart(finding, again.get(finding.name, 0.0))
        if far > LIMIT:
            finding = replace(finding, status="unsteady", note=f"two runs differ by {far:.1f} times the rounding")
            unsteady.append(finding.name)
        findings.append(finding)
    if not unsteady:
        note = f"two runs differ in {len(again)} answers, by no more than rounding"
        return replace(report, notes=(*report.notes, note))
    note = "two runs of the same case differ: dropout is on, or threads race; everything else is judged after that"
    return replace(
        report, verdict="diverges", first=unsteady[0], findings=tuple(findings), notes=(note, *report.notes)
    )


def _runs_apart(finding: Finding, difference: float) -> float:
    """The difference of two runs, relative to the answer like `noise`, over a correct implementation's error."""
    if not difference:
        return 0.0
    return difference / finding.noise if finding.noise else float("inf")


def assert_matches(
    subject: Any, case: Case | None = None, *, precision: str | None = None, seed: int = 0, **options: Any
) -> Report:
    """For tests: raises `AssertionError`, with what is wrong and where, unless the subject is right.

    `subject` is a `Subject`, or a torch module, which is taken for a Hugging Face model. Without a case one is
    generated from `seed` and `options` (see `case.generate`). Returns the report.
    """
    subject = as_subject(subject)
    report = check(subject, case or case_for(subject, seed, **options), precision=precision)
    if report.verdict != "right":
        raise AssertionError(explain(report))
    return report


def as_subject(subject: Any) -> Subject:
    """A `Subject` itself, or one for a torch module. Raises `InputError` for anything else."""
    if hasattr(subject, "answer") and hasattr(subject, "live"):
        return subject  # type: ignore[no-any-return]
    if type(subject).__module__.startswith("torch.") or hasattr(subject, "named_parameters"):
        from .subjects.transformers import TransformersSubject

        return TransformersSubject(subject)
    kind = type(subject).__name__
    raise InputError(f"verify: {kind} is neither a subject (name, precision, live, answer) nor a torch model")


def explain(report: Report) -> str:
    """A report in a few lines of text."""
    lines = [f"{report.subject} {report.verdict} ({report.precision}; case: {report.case['name']})"]
    first = next((f for f in report.findings if f.name == report.first), None)
    if first is not None:
        lines.append(f"first wrong: {first.name}: {first.status}{f' ({first.note})' if first.note else ''}")
        if first.error is not None and first.noise is not None:
            lines.append(f"    relative error {first.error:.1e}; a correct implementation's is {first.noise:.1e}")
        if first.own is not None and first.total is not None:
            lines.append(
                f"    {first.own:.1f} times the rounding of its own step, {first.total:.1f} times in total; "
                f"the limit is {report.limit:g}"
            )
        if first.place is not None:
            where = "".join(f", {word}" for word in first.place.concentrated)
            lines.append(
                f"    worst at {list(first.place.index)}: {first.place.found:.9g}, "
                f"expected {first.place.expected:.9g}{where}"
            )
        lines.append(f"last right before it: {report.last_right or 'nothing that was given'}")
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)
