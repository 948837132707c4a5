"""What follows from findings and the graph: where a mistake lies, which mistakes are others, what was judged at all.

Only steps on a way from tensors known right to the wrong one can have made its error; what merely stands between them
in the order of the computation can't.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..graph.replay import sources, span
from ..graph.steps import Graph
from ..records import WRONG, Finding, Report

JUDGED = ("right", "added", "inherited", "wrong", "unsteady")
"""The statuses of answers whose numbers were used: by others as their inputs."""


def bracketed(report: Report, graph: Graph, first: str | None, findings: tuple[Finding, ...]) -> Report:
    """The report with another first wrong tensor (None: it is right) and findings, and all that follows from these."""
    found = {finding.name: finding for finding in findings}
    if first is None:
        return replace(report, first=None, last_right=None, findings=findings, between=(), ask=(),
                       **covered(graph, found))  # fmt: skip
    right = {name for name, finding in found.items() if finding.status == "right"}
    given = {name for name, finding in found.items() if finding.status != "missing"}
    order = [step.name for step in graph]
    missing = span(graph, first, right) - given
    between = tuple(sorted(missing, key=order.index))
    return replace(
        report, first=first, last_right=last_right(graph, first, found), findings=findings, between=between,
        ask=tuple(name for name in between if name in graph.steps[first].inputs), alone=(), in_blocks=(), not_judged=(),
    )  # fmt: skip


def last_right(graph: Graph, first: str, found: Mapping[str, Finding]) -> str | None:
    """The nearest answer known right that `first` is made from."""
    known, _ = sources(graph, first, {name: None for name, finding in found.items() if finding.status == "right"})
    return known[-1] if known else None


def explained(graph: Graph, found: Mapping[str, Finding]) -> dict[str, Finding]:
    """The wrong findings that an earlier one may explain, with its name: some step that was not given is behind both,
    or it is not even a number and made from something wrong."""
    given = {name for name, finding in found.items() if finding.status in JUDGED}
    suspects: dict[str, str] = {}
    changed = {}
    for step in graph:
        finding = found.get(step.name)
        if finding is None or finding.status not in WRONG or finding.status == "inherited":
            continue
        through = span(graph, step.name, given)
        before = [suspects[name] for name in through if name in suspects]
        if finding.status == "not-finite":
            known, _ = sources(graph, step.name, dict.fromkeys(given))
            before += [name for name in known if found[name].status in WRONG]
        if before:
            changed[step.name] = replace(finding, explained_by=before[0])
        else:
            suspects |= dict.fromkeys(through, step.name)
    return changed


def covered(graph: Graph, found: Mapping[str, Finding]) -> dict[str, Any]:
    """The fields `alone`, `in_blocks` and `not_judged` of a report."""
    judged = {name for name, finding in found.items() if finding.status in JUDGED}
    given = judged | {name for name, finding in found.items() if finding.status == "unjudged" and finding.total}
    alone, together = set(), set()
    for name in judged:
        through = span(graph, name, given)
        if len(through) == 1:
            alone.add(name)
        else:
            together |= through
    order = [step.name for step in graph]
    return {
        "alone": tuple(name for name in order if name in alone),
        "in_blocks": tuple(name for name in order if name in together - alone),
        "not_judged": tuple(name for name in order if name not in alone | together),
    }
