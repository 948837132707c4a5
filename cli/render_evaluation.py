"""What `bertref evaluate` shows on the terminal: metrics, tables, calibration, curves, the worst mistakes."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ..evaluation.report import shown_value
from .render import BLOCKS, PLAIN_BLOCKS, drawn, out

MOST_LABELS = 20
"""A larger confusion matrix is for --json and --plot."""
WIDTH, BAR = 40, 24
HEIGHT = 8
PERCENTS = frozenset({"exact_match", "HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1", "best_exact", "best_f1"})
"""Metrics of questions, which are in percent; so is the f1 beside them."""


def result(found: Any, *, charts: bool) -> None:
    """Every part, one below the other."""
    for i, (name, part) in enumerate(found.parts.items()):
        if i:
            out.print()
        _heading(f"{found.task}, {name}: {part.evaluation.examples:,} examples, {found.source}")
        _metrics(part)
        _counts(part.report.counts)
        _scores(part.report)
        _confusion(part.report.confusion)
        _reliability(part.report.reliability)
        if charts:
            _shares(part.report.shares)
            _curves(part.report)
        _worst(part.worst, numbers=found.kind == "regression")


def glue(results: Mapping[str, Mapping[str, float]], which: str, value: Any) -> None:
    """The tasks' figures, and their average in percent."""
    table = _table("task", "metric", "value")
    for task, figures in results.items():
        for name, figure in figures.items():
            table.add_row(task, name, "undefined" if math.isnan(figure) else f"{figure:.4f}")
    _print(table)
    average = "undefined" if value.undefined else f"{100 * value.value:.1f}"
    out.print(f"GLUE's average ({which}): {average}", markup=False, style="bold")


def _heading(text: str) -> None:
    out.print(text, markup=False, style="bold")


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, title in enumerate(titles):
        table.add_column(Text(title), justify="right" if i else "left", no_wrap=True)
    return table


def _print(table: Table) -> None:
    """As wide as it is, but for a terminal, which has its width."""
    out.print(table, width=None if out.is_terminal else 10_000)


def _metrics(part: Any) -> None:
    metrics, intervals = part.evaluation.metrics, part.intervals
    if not metrics:
        out.print("The truth is not known; there is nothing to judge by.", markup=False)
        return
    level = next(iter(intervals.values())).level if intervals else None
    table = _table("metric", "value", *([f"{level:.0%} interval"] if level else []))
    percent = "exact_match" in metrics
    for name, value in metrics.items():
        digits = 2 if percent and (name == "f1" or name in PERCENTS) else 4
        row: list[Text | str] = [Text(name), shown_value(value, digits)]
        if name in intervals:
            row.append(_interval(intervals[name], digits))
        table.add_row(*row)
    _print(table)


def _interval(found: Any, digits: int) -> str:
    if math.isnan(found.low):
        return "undefined"
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def _counts(counts: Mapping[str, int]) -> None:
    if counts:
        out.print("  ".join(f"{count:,} {name}" for name, count in counts.items()), markup=False)


def _scores(report: Any) -> None:
    if not report.scores:
        return
    out.print()
    table = _table("", "precision", "recall", "f1", "support")
    for name, row in [*report.scores.items(), *((f"{name} average", row) for name, row in report.averages.items())]:
        figures = (shown_value(value, 3) for value in (row.precision, row.recall, row.f1))
        table.add_row(Text(name), *figures, f"{row.support:,}")
    _print(table)


def _confusion(confusion: Any) -> None:
    if confusion is None or len(confusion.labels) > MOST_LABELS:
        return
    out.print()
    table = _table("true \\ predicted", *confusion.labels)
    for label, row in zip(confusion.labels, confusion.counts.tolist(), strict=True):
        table.add_row(Text(label), *(f"{count:,}" for count in row))
    _print(table)


def _reliability(bins: Any) -> None:
    if bins is None:
        return
    out.print()
    table = _table("how sure", "examples", "mean confidence", "right")
    for a, b, count, sure, right in zip(bins.edges, bins.edges[1:], bins.counts, bins.confidence, bins.accuracy,
                                        strict=False):  # fmt: skip
        if count:
            table.add_row(f"{a:.0%} to {b:.0%}", f"{count:,}", f"{sure:.3f}", f"{right:.3f}")
    _print(table)


def _shares(shares: Mapping[str, Any]) -> None:
    if not shares:
        return
    out.print()
    block = drawn("█", "#")
    table = _table("label", "", "", "")
    for column in table.columns[2:]:
        column.justify = "left"
    for label, each in shares.items():
        rows = (("mean probability", each.probability), ("predicted", each.predicted), ("true", each.true))
        for i, (what, share) in enumerate(rows):
            table.add_row(Text("" if i else label), f"{share:7.2%}", what, block * round(BAR * share))
    _print(table)


def _curves(report: Any) -> None:
    for label, curve in report.roc.items():
        _chart(f"ROC of {label}: true positive rate over false positive rate", curve.false_positive_rate,
               curve.true_positive_rate)  # fmt: skip
    for label, curve in report.precision_recall.items():
        _chart(f"precision of {label} over recall", curve.recall[::-1], curve.precision[::-1])


def _chart(title: str, x: Any, y: Any) -> None:
    """A curve over 0 to 1 in block characters: in each column the value where the curve leaves it."""
    out.print()
    out.print(title, markup=False)
    places = x.tolist()
    columns = [y[bisect_right(places, (i + 1) / WIDTH) - 1] for i in range(WIDTH)]
    blocks = drawn(BLOCKS, PLAIN_BLOCKS)
    for row in range(HEIGHT, 0, -1):
        cells = (max(0.0, min(1.0, value * HEIGHT - row + 1)) for value in columns)
        out.print(f"{row / HEIGHT:5.2f} " + "".join(blocks[round(8 * cell)] for cell in cells), markup=False)
    out.print(" " * 6 + "0" + " " * (WIDTH - 2) + "1", markup=False)


def _worst(records: Any, *, numbers: bool) -> None:
    if not records:
        return
    out.print()
    _heading("The largest errors" if numbers else "The most confident mistakes")
    for record in records:
        if numbers:
            said = f"{record.prediction:.4g}, but {record.truth:.4g} (error {record.confidence:.4g})"
        else:
            said = f"{_words(record.prediction)} ({record.confidence:.3f}), but {_words(record.truth)}"
        out.print(f"{record.place}: {said}", markup=False)
        out.print("  " + " ".join(record.shown.split())[:200], markup=False)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
