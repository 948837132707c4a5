"""Reports as JUnit's XML, which continuous integration shows: a suite a case, a test for each part of a layer.

A part fails if a tensor in it is wrong; the failure's text says which, and how. A part of which nothing was given is
skipped. A verification that could not run is one test with an error.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import Any

from ..graph.axes import split
from ..meant import GROUPS
from ..records import WRONG, Finding, Report
from .layout import cell, spot
from .words import WHY, explain, headline, legal, where


def to_junit(reports: Sequence[Report], replays: Sequence[str | None] | None = None) -> bytes:
    """The file's bytes; `replays` are the commands that make each report again."""
    root = ET.Element("testsuites", name="bertref verify")
    for report, replay in zip(reports, replays or [None] * len(reports), strict=True):
        _suite(root, report, replay)
    return _bytes(root)


def error_to_junit(subject: str, message: str) -> bytes:
    """The file of a verification that was stopped by an error."""
    root = ET.Element("testsuites", name="bertref verify")
    suite = ET.SubElement(root, "testsuite", name=_text(subject), tests="1", failures="0", errors="1", skipped="0",
                          time="0")  # fmt: skip
    test = ET.SubElement(suite, "testcase", classname=_text(f"bertref.verify.{subject}"), name="runs", time="0")
    ET.SubElement(test, "error", message=_text(message.splitlines()[0])).text = _text(message)
    return _bytes(root)


def _suite(root: ET.Element, report: Report, replay: str | None) -> None:
    parts = _parts(report.findings)
    wrong = {key: [f for f in some if f.status in WRONG] for key, some in parts.items()}
    skipped = [key for key, some in parts.items() if all(f.status in ("missing", "unjudged") for f in some)]
    failed, could_not = [key for key, some in wrong.items() if some], report.verdict == "could not run"
    suite = ET.SubElement(
        root, "testsuite", name=_text(f"{report.subject}: {report.case['name']}"), tests=str(len(parts) + could_not),
        failures=str(len(failed)), errors=str(int(could_not)), skipped=str(len(skipped)),
        time=f"{sum(report.seconds.values()):.3f}",
    )  # fmt: skip
    about = {"precision": report.precision, "verdict": report.verdict, "replay": replay or "", "limit": report.limit}
    properties = ET.SubElement(suite, "properties")
    for key, value in about.items():
        ET.SubElement(properties, "property", name=key, value=_text(value))
    name = _text(f"bertref.verify.{report.subject}")
    if could_not:
        test = ET.SubElement(suite, "testcase", classname=name, name="runs", time="0")
        ET.SubElement(test, "error", message=_text(headline(report))).text = _text(explain(report, replay))
    for key, some in parts.items():
        test = ET.SubElement(suite, "testcase", classname=name, name=_text(key), time="0")
        if wrong[key]:
            first = report.first in {finding.name for finding in some}
            text = "\n".join([*([explain(report, replay), ""] if first else []), *map(sentence, wrong[key])])
            message = f"{wrong[key][0].name}: {WHY[wrong[key][0].status]}"
            ET.SubElement(test, "failure", type=wrong[key][0].status, message=_text(message)).text = _text(text)
        elif key in skipped:
            ET.SubElement(test, "skipped", message="nothing of it was given, or nothing can be judged")


def _parts(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """ "backward, layer 3" -> its findings."""
    groups = {prefix: group for group, prefix in GROUPS.items()}
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        key = f"{groups[split(finding.name)[0]]}, {spot(finding.name).part}"
        found.setdefault(key, []).append(finding)
    return found


def sentence(finding: Finding) -> str:
    """One wrong tensor in a line."""
    parts = [f"{finding.name} [{cell(finding)}]: {WHY[finding.status]}"]
    if finding.note:
        parts.append(finding.note)
    if finding.error is not None and finding.noise is not None:
        parts.append(f"relative error {finding.error:.1e}, rounding {finding.noise:.1e}")
    if finding.place is not None:
        parts.append(where(finding.name, finding.place))
    return "; ".join(parts)


def _text(value: Any) -> str:
    return legal(str(value))


def _bytes(root: ET.Element) -> bytes:
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
