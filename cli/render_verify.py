"""What `verify` draws: maps of layers and probes, a verdict, and what to do next; readable without colour, too."""

import textwrap
from collections import Counter
from typing import Any

from rich.text import Text

from .render import out

LABEL = 12
GAP = 2
STYLES = {
    "right": "green", "added": "bold white on red", "wrong": "bold white on red", "inherited": "yellow",
    "not-finite": "bold white on magenta", "shape": "bold white on magenta", "unsteady": "bold white on blue",
    "unjudged": "dim", "missing": "dim",
}  # fmt: skip
QUIET = {"right": "right", "missing": "not given", "unjudged": "not judged"}
"""What isn't wrong, in words."""


def case(report: Any) -> None:
    """One of several cases, in a line."""
    style = "green" if report.verdict == "right" else "bold red"
    line = Text(f"{report.case['name']:28}  ")
    line.append(f"{report.verdict:9}", style=style)
    line.append(f"  {sum(report.seconds.values()):5.1f} s  {report.first or ''}")
    _print(line)


def reports(found: list[Any], replays: list[str]) -> None:
    """The first report that isn't right, or else the first one, in full; of several, a summary, too."""
    shown = next((i for i, report in enumerate(found) if report.verdict != "right"), 0)
    if len(found) == 1 or found[shown].verdict != "right":
        report(found[shown], replays[shown])
    if len(found) > 1:
        _summary(found)


def _summary(found: list[Any]) -> None:
    wrong = [report for report in found if report.verdict != "right"]
    firsts = Counter(report.first or "could not run" for report in wrong)
    words = ", ".join(f"{name} ({count})" for name, count in firsts.most_common())
    text = f"{len(found) - len(wrong)} of {len(found)} cases right" + (f"; first wrong: {words}" if wrong else "")
    _print(Text(text, style="bold green" if not wrong else "bold red"))


def report(report: Any, replay: str) -> None:
    """Maps, verdict, details, the next step, and the command that makes the report again."""
    from ..verify.report.layout import maps
    from ..verify.report.words import advice, details, headline

    used: set[str] = set()
    for one in maps(report):
        if used:
            out.print()
        if one.key != "forward" and all(finding.status in QUIET for finding in one.findings):
            _quiet(one)
            continue
        used |= {finding.status for finding in one.findings}
        _map(one)
    out.print()
    _legend(used, report.limit)
    style = "bold green" if report.verdict == "right" else "bold red"
    for line in textwrap.wrap(headline(report), _width() or 10_000):
        _print(Text(line, style=style))
    lines = [*details(report), ("next", advice(report, replay)), ("replay", replay)]
    for label, text in [*lines, ("took", _seconds(report.seconds))]:
        if text:
            _line(label, text)


def _seconds(seconds: Any) -> str:
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    return f"{sum(seconds.values()):.1f} s ({parts})"


def _width() -> int | None:
    """Of a terminal; a pipe has none."""
    return out.width if out.is_terminal else None


def _print(text: Text) -> None:
    text.no_wrap = True
    out.print(text)


def _line(label: str, text: str) -> None:
    """A label and a sentence, wrapped beside the label on a terminal. Commands stay whole, to be copied."""
    width = _width()
    room = max((width or 0) - LABEL - GAP, 40)
    whole = width is None or text.startswith("bertref ")
    for i, part in enumerate([text] if whole else textwrap.wrap(text, room, break_on_hyphens=False)):
        _print(Text.assemble((f"{label if i == 0 else '':{LABEL}}", "dim"), " " * GAP, part))


# ---------------------------------------------------------------------------------------------------------------------
# maps


def _quiet(one: Any) -> None:
    """A part in which nothing is wrong, in a line."""
    from ..verify.report.layout import number, ratio

    sizes = [r for f in one.findings if f.status == "right" and (r := ratio(f)) is not None]
    largest = f", at most {number(max(sizes))}" if sizes else ""
    counts = Counter(finding.status for finding in one.findings)
    words = ", ".join(f"{count} {QUIET[status]}" for status, count in counts.items())
    _print(Text.assemble((one.title, "bold"), f": {words}{largest}"))


def _map(one: Any) -> None:
    _print(Text(one.title, style="bold"))
    lists = dict(one.lists)
    _list("embeddings", lists.get("embeddings", ()))
    _grid(one)
    _list("heads", lists.get("heads", ()))


def _grid(one: Any) -> None:
    """A row a layer; where the columns are too many for the width, several blocks."""
    from ..verify.report.layout import cell

    widths = [
        max(len(column), *(len(cell(cells[i])) for _, cells in one.rows)) + 1 for i, column in enumerate(one.columns)
    ]
    for start, stop in _blocks(widths, out.width - LABEL):
        heads = zip(one.columns[start:stop], widths[start:stop], strict=True)
        head = "".join(f"{column:>{width}}" for column, width in heads)
        _print(Text(" " * LABEL + head, style="dim"))
        for label, cells in one.rows:
            line = Text(f"{label:{LABEL}}")
            for finding, width in zip(cells[start:stop], widths[start:stop], strict=True):
                _cell(line, finding, width)
            _print(line)


def _blocks(widths: list[int], room: int) -> list[tuple[int, int]]:
    """Column ranges, each no wider than the room."""
    found, start, used = [], 0, 0
    for i, width in enumerate(widths):
        if used + width > room and i > start:
            found.append((start, i))
            start, used = i, 0
        used += width
    return [*found, (start, len(widths))] if widths else []


def _cell(line: Text, finding: Any, width: int) -> None:
    from ..verify.report.layout import cell

    text = cell(finding)
    line.append(" " * (width - len(text)))
    line.append(text, style=STYLES[finding.status] if finding is not None else "")


def _list(label: str, some: Any) -> None:
    """What stands outside the layers: names and cells, as many in a line as there is room for."""
    from ..verify.report.layout import cell

    line = Text(f"{label:{LABEL}}")
    for short, finding in some:
        if len(line) > LABEL and len(line) + GAP + len(short) + 1 + len(cell(finding)) > out.width:
            _print(line)
            line = Text(" " * LABEL)
        line.append(f"{' ' * GAP}{short} ", style="dim")
        line.append(cell(finding), style=STYLES[finding.status])
    if some:
        _print(line)


def _legend(used: set[str], limit: float) -> None:
    from ..verify.report.layout import LEGEND

    line = Text(f"limit {limit:g}", style="dim")
    for status, (mark, meaning) in LEGEND.items():
        if status not in used:
            continue
        entry = Text.assemble("   ", (mark or "1.0", STYLES[status]), f" {meaning}")
        if len(line) + len(entry) > out.width:
            _print(line)
            line = Text()
        line.append_text(entry)
    _print(line)
    out.print()
