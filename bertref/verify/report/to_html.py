"""A report as one page of HTML that needs nothing else: no script, no font, no picture from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..graph.axes import split
from ..records import WRONG, Finding, Report
from .chart import error_by_depth
from .layout import LEGEND, Map, cell, maps, ratio
from .unseen import why
from .words import WHY, advice, details, headline, legal, where

SHOWN = 40
"""So many wrong tensors are listed."""

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --soft: #5c6670; --line: #d5dae0;
  --right: #d9f2df; --near: #f1efb8; --added: #d1242f; --inherited: #f6c98b; --broken: #a21caf; --none: #eef0f3; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ed; --back: #14171b; --soft: #9aa4af; --line: #363c44;
  --right: #17402a; --near: #4b4a14; --added: #e5484d; --inherited: #7a4a12; --broken: #b53fc4; --none: #20252b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 0 auto;
  max-width: 1080px; padding: 24px; }
h1 { font-size: 22px; overflow-wrap: anywhere; } h2 { font-size: 17px; margin-top: 32px; }
h1 .verdict { padding: 2px 10px; border-radius: 6px; color: #fff; background: var(--added); }
h1 .verdict.right { background: #1a7f37; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; } dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; } code { font-family: ui-monospace, monospace; font-size: 13px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--soft); padding: 3px 6px; white-space: nowrap; }
th.head { text-align: right; }
td { padding: 3px 6px; border: 1px solid var(--back); } td.cell { text-align: right; min-width: 3.2em; }
td.right { background: var(--right); } td.near { background: var(--near); }
td.added, td.wrong { background: var(--added); color: #fff; font-weight: 600; }
td.inherited { background: var(--inherited); } td.missing, td.unjudged { background: var(--none); color: var(--soft); }
td.not-finite, td.shape, td.unsteady { background: var(--broken); color: #fff; font-weight: 600; }
td.first { outline: 3px solid var(--text); outline-offset: -3px; }
table.list td { border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
.chart { width: 100%; height: auto; } .chart text { fill: var(--soft); font-size: 11px; }
.chart .grid { stroke: var(--line); } .chart polyline { fill: none; stroke-width: 1.5; }
.chart .noise { stroke: var(--soft); stroke-dasharray: 4 3; } .chart .error { stroke: var(--added); opacity: .5; }
.chart .good { fill: #1a7f37; } .chart .bad { fill: var(--added); } .soft { color: var(--soft); }
"""


def to_html(reports: Sequence[Report], replays: Sequence[str | None] | None = None) -> str:
    """The page: the first report that isn't right in full (else the first one), and above it a table of all.

    `replays` are the commands that make each report again. Raises `ValueError` without a report."""
    if not reports:
        raise ValueError("a page needs a report")
    commands = list(replays or [None] * len(reports))
    shown = next((i for i, report in enumerate(reports) if report.verdict != "right"), 0)
    report = reports[shown]
    body = [*_verdict(report, commands[shown]), *_causes(report), *_unseen(report), *_maps(report), *_depth(report),
            *_worst(report), *_settings(report)]  # fmt: skip
    if len(reports) > 1:
        body = [*_all(reports), *body]
    title = escape(headline(report))
    return legal(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _all(reports: Sequence[Report]) -> Iterable[str]:
    right = sum(report.verdict == "right" for report in reports)
    yield f"<h2>{right} of {len(reports)} cases right</h2>"
    rows = [(r.case["name"], r.verdict, r.first or "", f"{sum(r.seconds.values()):.1f} s") for r in reports]
    yield _table(("case", "verdict", "first wrong tensor", "time"), rows)


def _verdict(report: Report, replay: str | None) -> Iterable[str]:
    word, _, rest = headline(report).partition(": ")
    kind = "right" if report.verdict == "right" else "wrong"
    yield f'<h1><span class="verdict {kind}">{escape(word)}</span> {escape(rest)}</h1>'
    lines = details(report)
    todo = advice(report, replay)
    lines += [("next", todo)] if todo else []
    lines += [("replay", replay)] if replay else []
    yield "<dl>" + "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in lines) + "</dl>"


def _causes(report: Report) -> Iterable[str]:
    """What is behind a cause: the numbers, and where such a line usually stands."""
    found = report.diagnosis
    if found is None:
        return
    if not found.causes and found.ruled_out:
        yield "<h2>Why: unknown</h2>" + _table(("", ""), [("ruled out", ", ".join(found.ruled_out))])
    if not found.causes:
        return
    yield "<h2>Why</h2>" if found.outcome == "named" else "<h2>Why: one of these</h2>"
    for cause in found.causes:
        rows = [("id", cause.id), ("explains", ", ".join(cause.tensors)),
                ("error over rounding", f"{cause.before:.3g} before, {cause.after:.2g} with that changed")]  # fmt: skip
        rows += [(one.name, f"{one.value:.6g}, from {one.low:.6g} to {one.high:.6g}"
                  + (f": {one.known}" if one.known else "")) for one in cause.parameters]  # fmt: skip
        rows += [(f"in {library}", line) for library, line in cause.where.items()]
        rows += [("change", cause.patch), ("ruled out", ", ".join(cause.ruled_out))]
        yield f"<p>{escape(cause.sentence)}</p>" + _table(("", ""), rows)


def _unseen(report: Report) -> Iterable[str]:
    """What a right verdict could not have seen, one a row."""
    found = report.blind_spots
    if found is None or not found.spots:
        return
    yield "<h2>What could not have been seen</h2>"
    yield _table(("id", "would have been called right", "because"),
                 ((spot.id, spot.sentence, why(spot, report)) for spot in found.spots))  # fmt: skip


def _maps(report: Report) -> Iterable[str]:
    used = {finding.status for finding in report.findings}
    legend = "; ".join(f"{mark} {meaning}".strip() for status, (mark, meaning) in LEGEND.items() if status in used)
    for each in maps(report):
        yield f"<h2>{escape(each.title[0].upper() + each.title[1:])}</h2>"
        yield f'<div class="wide">{_map(each, report)}</div>'
    yield f'<p class="soft">Cells: error over the error of a correct implementation (limit {report.limit:g}).'
    yield f" {escape(legend)}. A frame marks the first wrong tensor.</p>"


def _map(one: Map, report: Report) -> str:
    lists = dict(one.lists)
    parts = [_list("embeddings", lists.get("embeddings", ()), report)]
    if one.rows:
        rows = [
            "<tr><th></th>" + "".join(f'<th class="head">{escape(column)}</th>' for column in one.columns) + "</tr>"
        ]
        for label, cells in one.rows:
            rows.append(f"<tr><th>{escape(label)}</th>{''.join(_cell(c, report) for c in cells)}</tr>")
        parts.append("<table>" + "".join(rows) + "</table>")
    return "".join([*parts, _list("heads", lists.get("heads", ()), report)])


def _list(label: str, some: Sequence[tuple[str, Finding]], report: Report) -> str:
    """What stands outside the layers: a table of one row."""
    if not some:
        return ""
    head = "".join(f'<th class="head">{escape(short)}</th>' for short, _ in some)
    cells = "".join(_cell(finding, report) for _, finding in some)
    return f"<table><tr><th></th>{head}</tr><tr><th>{escape(label)}</th>{cells}</tr></table>"


def _cell(finding: Finding | None, report: Report) -> str:
    if finding is None:
        return "<td></td>"
    kind, size = finding.status, ratio(finding)
    if kind == "right" and size is not None and size > report.limit / 2:
        kind = "near"
    first = " first" if finding.name == report.first else ""
    note = f" ({finding.note})" if finding.note else ""
    about = escape(f"{finding.name}: {finding.status}{note}", quote=True)
    return f'<td class="cell {kind}{first}" title="{about}">{escape(cell(finding))}</td>'


def _depth(report: Report) -> Iterable[str]:
    for title, prefix in (("Error by depth, forward", ""), ("Error by depth, backward from the loss", "grad")):
        probes = [f for f in report.findings
                  if split(f.name)[0] == prefix and not split(f.name)[1].startswith(("bert.", "cls."))]  # fmt: skip
        picture = error_by_depth(probes)
        if picture:
            yield f"<h2>{title}</h2>{picture}"
            yield '<p class="soft">Points: relative error of the subject; dashed: that of a correct implementation.</p>'


def _worst(report: Report) -> Iterable[str]:
    wrong = [finding for finding in report.findings if finding.status in WRONG]
    wrong.sort(key=lambda finding: finding.status == "inherited")  # stable: else in the order of the computation
    if not wrong:
        return
    yield "<h2>Wrong tensors and their worst elements</h2>"
    rows = [
        (f.name, cell(f), "" if f.error is None else f"{f.error:.1e}", "" if f.noise is None else f"{f.noise:.1e}",
         "; ".join(filter(None, (WHY[f.status] if f.status != "inherited" else "inherited", f.note))),
         where(f.name, f.place) if f.place else "")
        for f in wrong[:SHOWN]
    ]  # fmt: skip
    yield _table(("tensor", "ratio", "error", "rounding", "what", "where"), rows)
    if len(wrong) > SHOWN:
        yield f'<p class="soft">and {len(wrong) - SHOWN} more, all of them in the maps</p>'


def _settings(report: Report) -> Iterable[str]:
    yield "<h2>Case and settings</h2>"
    yield _table(("setting", "value"), [("precision", report.precision), *_flat("case", report.case),
                                        *_flat("seconds", report.seconds)])  # fmt: skip


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    """Nested settings as dotted names."""
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flat(f"{name}.{key}", inner)]
    return [(name, f"{value:.4g}" if isinstance(value, float) else value)]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(str(text))}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="list"><tr>{top}</tr>{body}</table></div>'
