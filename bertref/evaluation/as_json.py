"""Results as JSON has them: plain values, null for what is not finite.

An undefined figure has the number that the field's library gives it, or null; "undefined" lists these by name.
"""

import math
from collections.abc import Mapping
from typing import Any

from ..metrics.averages import Scores
from ..metrics.bootstrap import Interval
from ..metrics.value import Value
from .report import EvaluationReport
from .results import EvaluateResult, PartResult

SCHEMA = 1


def finite(value: Any) -> Any:
    """A float that JSON has, or null."""
    return float(value) if math.isfinite(value) else None


def result_as_json(result: EvaluateResult) -> dict[str, Any]:
    """Everything but the curves and the vectors. `metrics` are those of all parts in one, as `EvaluateResult.metrics`
    has them."""
    return {
        "schema": SCHEMA, "task": result.task, "kind": result.kind, "source": result.source,
        "metrics": {name: finite(value) for name, value in result.metrics.items()},
        "parts": {name: part_as_json(part) for name, part in result.parts.items()},
    }  # fmt: skip


def part_as_json(result: PartResult) -> dict[str, Any]:
    """One part; keys of what there is nothing of are left out."""
    metrics = result.evaluation.metrics
    values = {
        "examples": result.evaluation.examples,
        "metrics": {name: finite(value.value) for name, value in metrics.items()},
        "undefined": [name for name, value in metrics.items() if value.undefined],
        "intervals": {name: _interval(each) for name, each in result.intervals.items()},
        **_report(result.report),
        "worst": [{**record.as_json(), "text": record.shown} for record in result.worst],
    }
    return {name: value for name, value in values.items() if value or name in ("examples", "metrics")}


def _interval(interval: Interval) -> dict[str, Any]:
    return {"low": finite(interval.low), "high": finite(interval.high), "level": interval.level,
            "undefined_resamples": interval.undefined}  # fmt: skip


def _report(report: EvaluationReport) -> dict[str, Any]:
    values: dict[str, Any] = {"classes": _scores(report.scores), "averages": _scores(report.averages)}
    if report.confusion:
        values["confusion"] = {"labels": list(report.confusion.labels), "counts": report.confusion.counts.tolist()}
    if report.reliability:
        bins = report.reliability
        columns = zip(bins.edges[:-1], bins.edges[1:], bins.counts, bins.confidence, bins.accuracy, strict=True)
        values["reliability"] = [
            {"from": float(a), "to": float(b), "examples": int(n), "confidence": finite(c), "accuracy": finite(y)}
            for a, b, n, c, y in columns
        ]
    values["counts"] = dict(report.counts)
    values["shares"] = {label: vars(each) for label, each in report.shares.items()}
    return values


def _scores(rows: Mapping[str, Scores]) -> dict[str, Any]:
    return {
        name: {key: finite(each.value) if isinstance(each, Value) else each for key, each in row._asdict().items()}
        for name, row in rows.items()
    }
