"""Findings arranged as maps: a row a layer, a column a probe or a parameter; what is outside the layers in lists.

A cell says without colour what it is: a mark and a number, the error over the error of a correct implementation.
"""

from dataclasses import dataclass

from ...topology import LAYER, is_parameter, parameter_like, row_like
from ..graph.axes import named_axes, parameter_axes, split
from ..judgement.limit import LIMIT
from ..records import Finding, Report

LEGEND = {
    "right": ("", "right: error / rounding"),
    "added": ("!", "wrong here"),
    "wrong": ("?", "wrong, its inputs were not given"),
    "inherited": ("~", "wrong inputs"),
    "not-finite": ("NaN", "not finite"),
    "shape": ("shape", "another shape"),
    "unsteady": ("=/=", "differs from run to run"),
    "unjudged": ("o", "not judged"),
    "missing": ("-", "not given"),
}
"""Status -> mark and meaning."""

LAYER_COLUMNS = {row.name.removeprefix("layer.{i}."): row.label for row in LAYER}
"""A layer's probes, and their heads in a map."""

PARAMETER_COLUMNS = tuple(parameter.label for row in LAYER for parameter in row.parameters)
"""The heads of a layer's parameters, named after the probe that they make: .w its weight, .b its bias."""

TITLES = {
    "forward": "forward", "probe-gradients": "gradients at the probes", "gradients": "gradients of the parameters",
    "updates": "updates of the parameters",
}  # fmt: skip


@dataclass(frozen=True)
class Spot:
    """Where a tensor stands: in which map, in a layer or "embeddings" or "heads", under which short name."""

    map: str
    layer: int | None
    part: str
    label: str


def spot(name: str) -> Spot:
    """The place of a canonical name."""
    prefix, rest = split(name)
    parameter = is_parameter(rest)
    which = "forward" if not prefix else "updates" if prefix == "update" else "gradients"
    if which == "gradients" and not parameter:
        which = "probe-gradients"
    label = parameter_like(rest).label if parameter else row_like(rest).label
    inside = rest.removeprefix("bert.encoder.") if parameter else rest
    if inside.startswith("layer."):
        number = inside.split(".", 2)[1]
        return Spot(which, int(number), f"layer {number}", label)
    part = "embeddings" if inside.startswith(("embeddings.", "bert.embeddings.")) else "heads"
    return Spot(which, None, part, label)


@dataclass(frozen=True)
class Map:
    """One part of the computation. `rows` have a cell a column, None where there is no such tensor; `lists` are what
    stands outside the layers, by the short name."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Finding | None, ...]], ...]
    lists: tuple[tuple[str, tuple[tuple[str, Finding], ...]], ...]

    @property
    def findings(self) -> list[Finding]:
        """All that are in it."""
        inside = [finding for _, cells in self.rows for finding in cells if finding is not None]
        return inside + [finding for _, some in self.lists for _, finding in some]


def maps(report: Report) -> list[Map]:
    """The report's maps, in the order of the computation; those in which nothing was given are left out."""
    spots = [(spot(finding.name), finding) for finding in report.findings]
    found = []
    for key, title in TITLES.items():
        here = [(at, finding) for at, finding in spots if at.map == key]
        if all(finding.status == "missing" for _, finding in here):
            continue
        known = LAYER_COLUMNS.values() if key in ("forward", "probe-gradients") else PARAMETER_COLUMNS
        labels = {at.label for at, _ in here if at.layer is not None}
        columns = tuple(label for label in known if label in labels)
        cells = {(at.layer, at.label): finding for at, finding in here if at.layer is not None}
        rows = tuple(
            (f"layer {layer}", tuple(cells.get((layer, column)) for column in columns))
            for layer in sorted({at.layer for at, _ in here if at.layer is not None})
        )
        lists = {part: tuple((at.label, f) for at, f in here if at.layer is None and at.part == part)
                 for part in ("embeddings", "heads")}  # fmt: skip
        found.append(Map(key, title, columns, rows, tuple((part, some) for part, some in lists.items() if some)))
    return found


def ratio(finding: Finding) -> float | None:
    """The number of a cell: what its own step adds where that is the fault, or where it is right and the computation
    before it amplified rounding; else the larger one."""
    if finding.status in ("added", "wrong") or amplified(finding):
        return finding.own
    if finding.status == "inherited":
        return finding.total
    return max((r for r in (finding.own, finding.total) if r is not None), default=None)


def amplified(finding: Finding) -> bool:
    """Whether a tensor is far from the reference in total and right all the same: right for what it was made from, and
    that was right, too."""
    far = finding.total is not None and finding.total > LIMIT
    return finding.status == "right" and far and finding.own is not None


def cell(finding: Finding | None) -> str:
    """A mark and a number in at most six characters."""
    if finding is None:
        return ""
    mark = LEGEND[finding.status][0]
    if finding.status in ("right", "added", "wrong", "inherited"):
        return mark + number(ratio(finding))
    if finding.status == "not-finite" and "NaN" not in finding.note:
        return "inf"
    return mark


def number(value: float | None) -> str:
    """A ratio in at most five characters."""
    if value is None or value != value:
        return ""
    if value == float("inf"):
        return "inf"
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:.0f}" if value < 9999.5 else f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def axis_names(name: str, ndim: int) -> tuple[str, ...]:
    """What the axes of a tensor are called."""
    _, rest = split(name)
    if is_parameter(rest):
        return parameter_axes(rest, ndim)
    return named_axes(row_like(rest, ndim).axes)
