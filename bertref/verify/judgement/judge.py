"""Right or wrong: every answer's error over the error of correct implementations, and what follows from it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..cases.case import describe
from ..emulation.simulate import simulate
from ..emulation.variants import arithmetics
from ..graph.axes import Axes, AxesOf, masked_rows, split
from ..graph.replay import Replay, sources
from ..graph.steps import Graph
from ..records import PRECISIONS, QUANTISED, WRONG, Answers, Arrays, Case, Finding, Report
from .detect import detect
from .limit import LIMIT
from .localise import place
from .measures import Measures, mean_square, scatter
from .noise_floor import (
    SAMPLES,
    NoiseFloor,
    Truth,
    compare_with,
    for_larger,
    is_large,
    judged_names,
    noise_floor,
    ratios,
)
from .reference import answer_names

UNTOUCHED = "when nothing inside is looked at; looking changes how it is fused"
"""What is said of an answer that is wrong in a run of its own alone."""

HALVES = ("bfloat16", "float16", "mixed-bfloat16", "mixed-float16")


def compare(
    case: Case,
    answers: Answers,
    precision: str | None = None,
    *,
    subject: str = "answers",
    notes: tuple[str, ...] = (),
) -> Report:
    """Judges answers to a case. `precision` is one of `records.PRECISIONS`; None: it is detected.

    Raises `InputError` for an unknown precision.
    """
    if precision is not None and precision not in (*PRECISIONS, QUANTISED):
        raise InputError(f"precision: {precision!r} is none of {', '.join(PRECISIONS)}")
    given = admit(case, answers.values)
    remarks = [*notes, *answers.notes, *given.notes]
    if precision is None:
        precision = detect(case, given.values)
        remarks.append(f"precision not declared; the numbers look like {precision}")
    findings = overflow_allowed(case, precision, given.findings)
    unquantised = admit(case, answers.unquantised).values
    computed = "float32" if precision == QUANTISED else precision
    judgement = Judgement(case, computed, given.values, unquantised)
    found = {**findings, **judgement.findings(findings)}
    found |= judgement.untouched(found, admit(case, answers.untouched))
    if precision == QUANTISED:
        found = {name: _for_int8(finding) for name, finding in found.items()}
    report = _report(case, subject, precision, found, judgement, (*remarks, *judgement.notes))
    return report if answers.outputs is None else _with_outputs(report, answers.outputs)


def _for_int8(finding: Finding) -> Finding:
    """How far a quantised tensor is from the float32 model's isn't held against it where its own step is right."""
    return replace(finding, total=None, note="") if finding.status == "right" else finding


def _with_outputs(report: Report, outputs: tuple[str, ...]) -> Report:
    """Nothing is right whose own outputs aren't."""
    right = {finding.name for finding in report.findings if finding.status == "right"}
    if report.verdict != "right" or right.intersection(outputs):
        return report
    note = "none of its own outputs could be judged, so it can't be called right, whatever is inside"
    return replace(report, verdict="could not run", notes=(*report.notes, note))


# ---------------------------------------------------------------------------------------------------------------------
# what was given


@dataclass(frozen=True)
class Given:
    """Answers that can be judged, in their shapes; findings on those that can't; remarks."""

    values: Arrays
    findings: dict[str, Finding]
    notes: tuple[str, ...]


def admit(case: Case, values: Mapping[str, Any]) -> Given:
    """Separates what is known, of the right shape and finite from what isn't."""
    axes, names = AxesOf(case), answer_names(case)
    known = set(names)
    unknown = sorted(name for name in values if name not in known)
    listed = ", ".join(unknown[:5]) + (", ..." if unknown[5:] else "")
    notes = [f"not known, and not looked at: {listed}"] if unknown else []
    good: Arrays = {}
    findings: dict[str, Finding] = {}
    unjudged = _unjudged(case)
    for name in (name for name in names if name in values):
        value = _shaped(case, axes, name, np.asarray(values[name]))
        shape = axes(name).shape
        if value.shape != shape:
            findings[name] = Finding(name, "shape", note=f"shape {value.shape}; {shape} is expected")
        elif name in unjudged or split(name)[0] in unjudged:
            findings[name] = Finding(name, "unjudged", note="depends on a row without any token")
        elif not np.isfinite(axes(name).clean(value)).all():
            findings[name] = _not_finite(name, axes(name).clean(value))
        else:
            good[name] = value
    return Given(good, findings, tuple(notes))


def _unjudged(case: Case) -> frozenset[str]:
    """What depends on a row without tokens, for which finite masks, infinite ones and fused kernels differ."""
    if not masked_rows(case).any():
        return frozenset()
    return frozenset({"loss.nsp", "loss.total", "grad", "update"})


def _shaped(case: Case, axes: AxesOf, name: str, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers as (), and MLM values at every position gathered at the predicted ones."""
    shape = axes(name).shape
    if value.size == 1 and shape == ():
        return value.reshape(())
    B, S = case.batch.input_ids.shape
    if split(name)[1].startswith("mlm.") and value.shape == (B, S, *shape[2:]) and value.shape != shape:
        return np.take_along_axis(value, case.batch.masked_lm_positions[..., None].astype(np.int64), axis=1)
    return value


def _not_finite(name: str, value: npt.NDArray[Any]) -> Finding:
    nan, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
    words = [f"{number} {what}" for number, what in ((nan, "NaN"), (infinite, "infinite")) if number]
    return Finding(name, "not-finite", note=f"{' and '.join(words)} of {value.size} elements")


def overflow_allowed(case: Case, precision: str, findings: Mapping[str, Finding]) -> dict[str, Finding]:
    """float16 ends at 65504: what overflows in correct implementations, too, is no mistake of the subject's."""
    suspects = [name for name, finding in findings.items() if finding.status == "not-finite"]
    if not suspects or "float16" not in precision.replace("bfloat16", ""):
        return dict(findings)
    axes, beyond = AxesOf(case), set()
    for arithmetic in arithmetics(precision, SAMPLES):
        for name, value in simulate(case, arithmetic, suspects).items():
            if not np.isfinite(axes(name).clean(value)).all():
                beyond.add(name)
    note = "correct implementations overflow float16 here, too"
    return {
        name: replace(finding, status="unjudged", note=note) if name in beyond else finding
        for name, finding in findings.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# judging


class Judgement:
    """The comparison of a case's answers, all of them known, of the right shape and finite, with what is right.
    `unquantised` as in `Answers`."""

    def __init__(
        self, case: Case, precision: str, values: Arrays, unquantised: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.case, self.values, self._unquantised = case, values, unquantised
        self.truth = Truth(case, precision)
        self.graph = self.truth.graph
        self.replay = Replay(self.graph, values)
        self.notes: list[str] = []
        self.noise_floor = self._noise_floor(precision)

    def _noise_floor(self, precision: str) -> NoiseFloor:
        """Of implementations that round an activation once, unless its errors scatter from one input to the next, as
        they do where every operation inside it rounds: another function than the right one would differ smoothly. The
        way back is looked at by itself, because there an upstream gradient makes any error scatter."""
        once = noise_floor(self.truth, self.values)
        if precision not in HALVES:
            return once
        forward, back = self._scatters(once, ""), self._scatters(once, "grad")
        if forward and max(*forward, *back, 0.0) <= LIMIT:
            return once
        stepwise = noise_floor(self.truth, self.values, wide_activations=False)
        if not forward or max(forward) > LIMIT:
            self.notes.append("activations are judged as computed step by step in half precision")
            return stepwise
        self.notes.append("gradients of activations are judged as computed step by step in half precision")
        total, own = (
            {name: (second if split(name)[0] else first)[name] for name in first}
            for first, second in ((once.total, stepwise.total), (once.own, stepwise.own))
        )
        return NoiseFloor(precision, total, own)

    def _scatters(self, floor: NoiseFloor, which: str) -> list[float]:
        """`_scatter` of every activation: of its output, or of the gradient that comes out of it ("grad")."""
        return [
            self._scatter(step.name, step.along, floor.own[step.name])
            for step in self.graph
            if step.along and step.name in self.values and step.along in self.values and split(step.name)[0] == which
        ]

    def _scatter(self, name: str, along: str, floor: Measures) -> float:
        error = self.replay.input(name) - self.replay(name)
        return largest_scatter(error, self.replay.input(along), self.graph.axes(name), floor)

    def findings(self, before: Mapping[str, Finding]) -> dict[str, Finding]:
        """By name; `before` are the findings on answers that can't be judged.

        An error is inherited from a wrong answer. Where every answer that went into a tensor is right for its own
        inputs, the tensor is right, too, however far it is from the reference: the computation amplified its rounding,
        as one does at the kink of a ReLU or in a softmax of large scores.
        """
        found: dict[str, Finding] = {}
        wrong = {name for name, finding in before.items() if finding.status in WRONG}
        names = judged_names(self.graph, self.values)
        with ThreadPoolExecutor(2 if is_large(self.case) else 1) as pool:
            measured = dict(zip(names, pool.map(self._compared, names), strict=True))
        for step in self.graph:
            behind = any(name in wrong for name in step.inputs)
            if step.name in self.values:
                found[step.name] = self._finding(step.name, behind, *measured[step.name])
            if behind or (step.name in found and found[step.name].status in WRONG):
                wrong.add(step.name)
        return found

    def untouched(self, found: Mapping[str, Finding], given: Given) -> dict[str, Finding]:
        """Findings on answers of a run of their own, where they are wrong and those looked at beside their inputs
        aren't: farther from the reference than rounding explains, and than what rounding has been amplified to."""
        wrong = {name: finding for name, finding in given.findings.items() if finding.status in WRONG}
        for name, value in given.values.items():
            if name in found:
                total, _ = compare_with(self.truth, {name: value}, name, self.replay)
                ratio, _ = largest_ratio(total, self.noise_floor.total[name])
                if ratio > LIMIT * max(found[name].total or 1.0, 1.0):
                    wrong[name] = replace(found[name], status="wrong", total=ratio, own=None)
        return {
            name: replace(finding, note="; ".join(filter(None, (finding.note, UNTOUCHED))))
            for name, finding in wrong.items()
            if name in found and found[name].status == "right"
        }

    def _compared(self, name: str) -> tuple[Measures, Measures]:
        total, own = compare_with(self.truth, self.values, name, self.replay)
        if name in self._unquantised:
            _, own = compare_with(self.truth, self._unquantised, name, self.replay)
        return total, own

    def _finding(self, name: str, behind: bool, total: Measures, own: Measures) -> Finding:
        floor = self.noise_floor.total[name]
        total_ratio, _ = largest_ratio(total, floor)
        own_ratio, measure = largest_ratio(own, self.noise_floor.own[name])
        if own_ratio > LIMIT:
            raised = for_larger(self.truth, self.replay, name, self.noise_floor.own[name])
            own_ratio, measure = largest_ratio(own, raised)
        size = float(np.sqrt(mean_square(self.truth(name), self.graph.axes(name))))
        finding = Finding(
            name, "right", total_ratio, own_ratio,
            error=float(np.sqrt(total["all"][0])) / size if size else None,
            noise=float(np.sqrt(floor["all"][0])) / size if size else None,
        )  # fmt: skip
        known, direct = sources(self.graph, name, self.values)
        if own_ratio > LIMIT:
            between = "" if direct else f"made by a step after {known[-1] if known else 'the inputs'}"
            return self._wrong(finding, "added" if direct else "wrong", "; ".join(filter(None, (between, measure))))
        if total_ratio <= LIMIT:
            return finding
        if not behind:
            return replace(finding, note="far from the reference, by rounding that its inputs amplified")
        return self._wrong(finding, "inherited", "")

    def _wrong(self, finding: Finding, status: str, note: str) -> Finding:
        name = finding.name
        found = self.replay.input(name)
        if name in self._unquantised and status != "inherited":
            found = self.graph.axes(name).clean(np.asarray(self._unquantised[name]))
        expected = self.truth(name) if status == "inherited" else self.replay(name)
        where = place(self.graph, name, found - expected, expected, found)
        return replace(finding, status=status, place=where, note=note)


def last_right(graph: Graph, first: str, found: Mapping[str, Finding]) -> str | None:
    """The nearest answer known right that `first` is made from; else the last one before it."""
    right = {name: None for name, finding in found.items() if finding.status == "right"}
    known, _ = sources(graph, first, right)
    if known:
        return known[-1]
    before = []
    for step in graph:
        if step.name == first:
            break
        if step.name in right:
            before.append(step.name)
    return before[-1] if before else None


def largest_scatter(error: Any, along: Any, axes: Axes, floor: Measures) -> float:
    """`scatter` of an elementwise step's error over the noise floor, where it is largest."""
    found = scatter(error, along, axes)
    both = min(len(found), len(floor.get("bin", ())))
    return float(np.sqrt(np.max(found[:both] / floor["bin"][:both]))) if both else 0.0


def largest_ratio(found: Measures, floor: Measures) -> tuple[float, str]:
    """The largest ratio of any measure and block, and the measure in words."""
    best, words = 0.0, ""
    for name, values in ratios(found, floor).items():
        if np.isnan(values).all():
            continue
        at = int(np.nanargmax(values))
        if values[at] > best:
            place = f" {at}" if len(values) > 1 else ""
            best, words = float(values[at]), f"largest: {name}{place}"
    return best, words


def _report(
    case: Case, subject: str, precision: str, found: dict[str, Finding], judgement: Judgement, notes: tuple[str, ...]
) -> Report:
    order = [step.name for step in judgement.graph]
    findings = tuple(found.get(name, Finding(name, "missing")) for name in order)
    wrong = [finding.name for finding in findings if finding.status in WRONG]
    verdict = "diverges" if wrong else "right" if found else "could not run"
    if not found:
        notes = (*notes, "none of the answers has a known name")
    first = wrong[0] if wrong else None
    last = last_right(judgement.graph, first, found) if first else None
    return Report(subject, precision, describe(case), verdict, first, last, findings, LIMIT, notes)
