"""Exporting a case together with right answers to it."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ..judgement.reference import answer_names, reference
from ..records import Arrays, Case
from .case import write_case

EXPECTED = ("probes", "gradients", "updates")


def export(
    case: Case,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("bin",),
    expected: Sequence[str] = (),
    precision: str | None = None,
) -> Path:
    """Writes the case as `write_case` does, with the right answers, in float64, of the groups in `expected`: forward
    "probes", "gradients" (of probes and parameters), "updates". Raises `InputError` for an unknown group."""
    if unknown := [group for group in expected if group not in EXPECTED]:
        raise InputError(f"expected {unknown[0]!r}: there are {', '.join(EXPECTED)}")
    names = [name for name in answer_names(case) if _group(name) in expected]
    answers: Arrays = reference(case, names).values if names else {}
    in_order = {name: answers[name] for name in names}
    return write_case(case, folder, formats=formats, expected=in_order, precision=precision)


def _group(name: str) -> str:
    return {"grad": "gradients", "update": "updates"}.get(name.partition(":")[0], "probes")
