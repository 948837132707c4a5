"""A report as JSON, for programs. Schema version 1.

Of an object's keys, none is ever left out. Numbers that JSON doesn't have are the strings "NaN", "Infinity" and
"-Infinity"; null is what isn't known. A later version of the same schema may add keys; it takes none away and changes
none's meaning: that would be schema 2.

    schema      1
    version     bertref's own
    subject     what was verified
    precision   what it was judged as
    verdict     "right", "diverges" or "could not run"
    exit_code   0, 1 or 2
    first       the first wrong tensor, or null
    last_right  the last one known right before it, or null
    between     what was not given on the way from tensors known right to the first wrong one, in order
    ask         those of them that it is made from directly
    judged      of a right report: alone, in_blocks, not_judged: the names of steps judged by themselves, only together
                with steps beside them, not at all
    limit       the error, in units of what rounding explains, above which a tensor is wrong
    case        name, origin (what makes it again), config, numerics, rows, length, optimizer
    replay      the command that makes the report again, or null
    advice      what to do next, or null
    should_be   formula of the first wrong tensor, or null
    files       where bertref computes it
    counts      status -> number of tensors
    seconds     part of the work -> time
    notes       remarks
    diagnosis   what came of the search for the cause: "named" (each of `causes` is proved), "ambiguous" (one of them
                is right, and which can't be told), "unknown" (nothing that was tried explains it), "failed" (the search
                was stopped by a defect of bertref's), or null: it wasn't looked for
    diagnosis_note  a remark on that, or null
    unexplained names of wrong tensors that the causes don't explain, of those whose own steps are wrong
    looks       what the first of these looks like beside the right one, which is no cause: a list of
                  tensor, kind ("place", "factor", "another", "sign", "order", "added", "factors", "offsets", "curve":
                  `records.Look`), sentence
    ruled_out   ids of the causes that were tried at the first wrong tensor in vain, where none is named
    causes      a list, the cause of the first wrong tensor first, of
                  id, sentence; parameters: a list of {name, value, low, high (the interval in which it explains the
                  tensor as well), known (the constant that it is, or "")}; choice (which of several possibilities, or
                  ""); tensors (what it explains); ratio: {before, after} (the largest error there in units of what
                  rounding explains: by the reference, and with the change); where (library -> where such a line
                  stands); patch; alternatives and ruled_out (ids)
    fed         the steps that were also done by themselves, from the reference's inputs
    blind_spots what a right verdict could not have seen, or null: nobody asked (`--blind-spots`), or it isn't right:
                  spots: a list of {id, sentence, tensors (those that would be computed otherwise), ratio (the largest
                  error that it would make in a judged step), hidden_by ("probes": its own step was judged only with
                  others; "case": it makes no difference in this case; "precision": it changes less than rounding
                  does), ask (the answers that would show it), reasons (what hides it in the case, in words)};
                  step: {part of the optimiser's step: whether all known mistakes in it would have shown}
    findings    a list, in the order of the computation, of
                  name, status, note; explained_by (an earlier tensor whose mistake may be this one's, or "");
                  total, own (errors in units of what rounding explains); error, noise (relative
                  errors of the subject and of a correct implementation); place: null or {index, expected, found,
                  concentrated: [...], single}
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ... import __version__
from ..records import Cause, Diagnosis, Report
from .formulas import formula
from .words import advice, counts

SCHEMA = 1


def to_dict(report: Report, replay: str | None = None) -> dict[str, Any]:
    """The report as plain values that JSON has."""
    made = formula(report.first, report.case) if report.first else None
    found: dict[str, Any] = plain({
        "schema": SCHEMA,
        "version": __version__,
        "subject": report.subject,
        "precision": report.precision,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "first": report.first,
        "last_right": report.last_right,
        "between": report.between,
        "ask": report.ask,
        "judged": {name: getattr(report, name) for name in ("alone", "in_blocks", "not_judged")},
        "limit": report.limit,
        "case": report.case,
        "replay": replay,
        "advice": advice(report, replay) or None,
        "should_be": made.text if made else None,
        "files": made.files if made else (),
        "counts": counts(report),
        "seconds": report.seconds,
        "notes": report.notes,
        **_diagnosis(report.diagnosis),
        "fed": report.fed,
        "blind_spots": None if report.blind_spots is None else asdict(report.blind_spots),
        "findings": [asdict(finding) for finding in report.findings],
    })  # fmt: skip
    return found


def _diagnosis(found: Diagnosis | None) -> dict[str, Any]:
    """The keys that say why it diverges."""
    if found is None:
        found = Diagnosis("")
    return {
        "diagnosis": found.outcome or None, "diagnosis_note": found.note or None, "unexplained": found.left,
        "looks": [asdict(look) for look in found.looks], "ruled_out": found.ruled_out,
        "causes": [_cause(cause) for cause in found.causes],
    }  # fmt: skip


def _cause(cause: Cause) -> dict[str, Any]:
    values = asdict(cause)
    ratio = {name: values.pop(name) for name in ("before", "after")}
    return {**values, "ratio": ratio}


def to_json(report: Report, replay: str | None = None) -> str:
    """One line of JSON."""
    return json.dumps(to_dict(report, replay), allow_nan=False)


def plain(value: Any) -> Any:
    """Tuples as lists, and strings for numbers that JSON doesn't have."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
