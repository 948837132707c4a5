"""Reports made by hand, so that every kind of finding can be shown."""

from dataclasses import replace
from functools import cache
from typing import Any

from bertref.verify.cases.case import describe, generate
from bertref.verify.graph.axes import AxesOf
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.bracket import bracketed
from bertref.verify.records import (
    WRONG,
    BlindSpot,
    BlindSpots,
    Case,
    Cause,
    Diagnosis,
    Finding,
    Fitted,
    Look,
    Place,
    Report,
)


@cache
def case() -> Case:
    return generate(0)


@cache
def names() -> tuple[str, ...]:
    """Of all answers, in the order of the computation."""
    return tuple(step.name for step in Graph(case()))


def right(name: str) -> Finding:
    return Finding(name, "right", 1.25, 0.75, 1.0e-7, 0.8e-7)


def wrong(name: str, status: str = "added", **more: Any) -> Finding:
    rank = len(AxesOf(case())(name).shape) if name in names() else 3
    place = Place((0, 1, 2, 3)[:rank], 1.5, -2.5, ("row 0", "segment B"))
    return replace(Finding(name, status, 4321.0, 1234.0, 3.0e-4, 0.8e-7, place), **more)


def cause(**more: Any) -> Cause:
    number = Fitted("epsilon", 1.0001e-5, 9.9e-6, 1.01e-5, "1e-05")
    sentence = "layer norms use epsilon 1e-05; the reference's is 1e-12. With that <all> is right"
    made = Cause(
        "norm.epsilon", sentence, (number,), "", ("embeddings.norm", "layer.0.output"), 3425.0, 1.1,
        {"torch": "nn.LayerNorm(eps=...)"}, "set layer_norm_eps=1e-12", (), ("norm.unbiased", "norm.rms"),
    )  # fmt: skip
    return replace(made, **more)


def named(*causes: Cause, outcome: str = "named") -> Report:
    """A report that knows why."""
    why = Diagnosis(outcome, causes, ruled_out=("norm.unbiased",))
    return replace(report(wrong("embeddings.norm"), wrong("layer.0.output")), diagnosis=why)


def described() -> Report:
    """A report that doesn't know why, and what the first wrong tensor looks like."""
    found = named(outcome="unknown")
    assert found.diagnosis is not None
    look = Look("embeddings.norm", "factor", "0.5 times what it should be")
    return replace(found, diagnosis=replace(found.diagnosis, looks=(look,)))


def report(*findings: Finding, missing: tuple[str, ...] = (), subject: str = "torch", **more: Any) -> Report:
    """All right, but for these findings and for what is missing."""
    by_name = {finding.name: finding for finding in findings}
    every = tuple(
        by_name.get(name) or (Finding(name, "missing") if name in missing else right(name)) for name in names()
    )
    first = next((f.name for f in every if f.status in WRONG), None)
    made = Report(subject, "float32", describe(case()), "diverges" if first else "right", None, None, every, 8.0,
                  ("a remark",), {"subject": 0.25, "judging": 0.5})  # fmt: skip
    return replace(bracketed(made, Graph(case()), first, every), **more)


def blind() -> Report:
    """A right report that knows what it could not have seen."""
    spots = (
        BlindSpot("activation.tanh_gelu", "the activation is <GELU>'s tanh form", ("layer.0.ffn_act",), 0.04, "probes",
                  ("layer.0.ffn_pre", "layer.1.ffn_pre")),
        BlindSpot("norm.unbiased", "the variance is over H - 1", ("embeddings.norm",), 6.5, "probes",
                  ("embeddings.sum",)),
        BlindSpot("attention.mask_missing", "padding is attended to", ("layer.0.probs",), 0.0, "case", (),
                  ("no padding", "a single head")),
        BlindSpot("norm.epsilon", "epsilon 1e-08", ("layer.0.output",), 2.5, "precision"),
        BlindSpot("norm.epsilon", "epsilon 1e-07", ("layer.1.output",), 2.5, "precision"),
    )  # fmt: skip
    return report(blind_spots=BlindSpots(spots, {"clipping": True, "moments": False, "rate": True}))


def hostile() -> Report:
    """Everything that could break a format: markup, control characters, infinities, NaN."""
    place = Place((0, 0, 0), float("inf"), float("nan"))
    found = Finding("layer.0.query", "not-finite", float("inf"), float("inf"), float("nan"), None, place,
                    "<script>alert(1)</script> & \x00\x1b[31m ]]> \ud800")  # fmt: skip
    return report(found, subject='cmd:./a "<b>" & \x07 {case} {out}')


def own(report: Report, name: str) -> float:
    """The error that an answer's own step added, over the noise floor."""
    return next(f.own for f in report.findings if f.name == name) or 0.0
