"""The smallest case in which a subject still makes its mistake, and in which right code makes none."""

from collections.abc import Collection
from typing import Any

from ..errors import InputError
from .cases.shrink import shrink
from .checking import check
from .emulation.rounding import Arithmetic
from .emulation.simulate import simulate
from .graph.axes import kind
from .records import QUANTISED, Answers, Case, Report
from .subject import Subject


def smallest(subject: Subject, case: Case, report: Report, **asked: Any) -> Case:
    """The smallest part of `case` (`shrink`) in which the subject still makes the mistake of `report`, a report on that
    case that diverges: the same tensor is the first wrong one, of whatever layer, in the same way. `asked` is what
    `check` was asked.

    A part that the subject can't compute is not taken, nor is one on which a right implementation that gives the same
    answers would be called wrong. If runs differ, no part is.
    """
    if report.first is None or any(finding.status == "unsteady" for finding in report.findings):
        return case
    mistake = _mistake(report)

    def fails(smaller: Case) -> bool:
        try:
            found = check(subject, smaller, repeat=False, diagnosis=False, **asked)
        except InputError:
            return False
        return _mistake(found) == mistake and _right_passes(smaller, found, asked)

    return shrink(case, fails)


def _mistake(report: Report) -> tuple[str, str] | None:
    """The kind of tensor that is wrong first, and how; None: none is."""
    first = next((finding for finding in report.findings if finding.name == report.first), None)
    return None if first is None else (kind(first.name), first.status)


def _right_passes(case: Case, found: Report, asked: dict[str, Any]) -> bool:
    given = [finding.name for finding in found.findings if finding.status != "missing"]
    right = _Right("float32" if found.precision == QUANTISED else found.precision, given)
    alone = {**asked, "precision": None, "feed": False, "diagnosis": False}
    return check(right, case, repeat=False, **alone).verdict == "right"


class _Right:
    """A right implementation, none of those that the noise floor is sampled from, that gives the same answers."""

    name, live = "right", False

    def __init__(self, precision: str, given: Collection[str]) -> None:
        self.precision: str | None = precision
        self._arithmetic = Arithmetic(precision, order="permuted", functions=True, seed=1000)
        self._given = given

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        return Answers(simulate(case, self._arithmetic, self._given))
