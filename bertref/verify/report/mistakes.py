"""The wrong steps of a report, those of one kind together: a mistake in the code is usually made in every layer, and on
the way back.

A step is a row of the network's table: its tensor, the gradient that it hands back to a single input, and those of its
parameters. The steps of an optimiser are one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...topology import readers, users
from ..graph.axes import kind, split
from ..records import WRONG, Finding, Report
from .formulas import rows_of


@dataclass(frozen=True)
class Mistake:
    """Findings on one kind of step, the first of them first."""

    step: str
    findings: tuple[Finding, ...]


def mistakes(report: Report) -> list[Mistake]:
    """What is known to be wrong by itself, in the order of the computation."""
    steps = _Steps(report.case)
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.status in WRONG and finding.status != "inherited" and not finding.explained_by:
            found.setdefault(steps.of(finding.name), []).append(finding)
    return [Mistake(step, tuple(some)) for step, some in found.items()]


class _Steps:
    """The kind of step that makes an answer."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        table = rows_of(case)
        self._readers, self._users = readers(table), users(table)

    def of(self, name: str) -> str:
        prefix, rest = split(name)
        if prefix == "update":
            return "update"
        rows = self._users[rest] if rest in self._users else self._readers[rest] if prefix else ()
        return kind(rows[0].name if len(rows) == 1 else name)


def compressed(names: Iterable[str], layers: int) -> str:
    """Names, those that differ in the layer's number alone as one: "layer.N.query (all layers)"."""
    return ", ".join(_compressed(names, layers))


def _compressed(names: Iterable[str], layers: int) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(kind(name), []).append(name)
    for shared, some in found.items():
        if len(some) == 1:
            yield some[0]
        elif len(some) == layers:
            yield f"{shared} (all layers)"
        else:
            yield f"{shared} (layers {', '.join(layer_of(name) for name in some)})"


def layer_of(name: str) -> str:
    """The number of the layer that a name is of."""
    return name.partition("layer.")[2].partition(".")[0]
