"""Right or wrong: every answer's error over the error of correct implementations, and what follows from it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from ...errors import InputError
from ...optim import Optimizer
from ..cases.case import describe
from ..graph.replay import Replay, sources, span
from ..integers import Misread, Stored
from ..records import PRECISIONS, QUANTISED, WRONG, Answers, Arrays, Case, Finding, Report
from . import bias_correction, score_scale
from .bracket import bracketed, explained
from .composition import fitting_floor
from .detect import detect
from .few_bits import bits_of, coarsely, times_rounding
from .given import Given, admit, overflow_allowed
from .limit import LIMIT
from .localise import place
from .measures import Measures, in_words, mean_square
from .noise_floor import compare_with, for_larger, judged_names, own_error, ratios
from .steadiness import unsteady
from .truth import Truth

Errors = tuple[Measures, Measures]
"""An answer's error in total, and the one that its step added."""
WORDS = "grad:bert.embeddings.word_embeddings.weight"
PADDING_ROW = "words at padded positions, to which real ones attend, may have no gradient (torch's padding_idx)"
UNTOUCHED = "when nothing inside is looked at; looking changes how it is fused"
"""What is said of an answer that is wrong in a run of its own alone."""


def compare(
    case: Case,
    answers: Answers,
    precision: str | None = None,
    *,
    subject: str = "answers",
    notes: tuple[str, ...] = (),
    again: Mapping[str, Any] = MappingProxyType({}),
) -> Report:
    """Judges answers to a case. `precision` is one of `records.PRECISIONS`; None: it is detected. `again` has what
    another run gave, of the names whose values differ from these answers.

    Raises `InputError` for an unknown precision.
    """
    return judged(case, answers, precision, subject=subject, notes=notes, again=again)[0]


def judged(
    case: Case,
    answers: Answers,
    precision: str | None = None,
    *,
    subject: str = "answers",
    notes: tuple[str, ...] = (),
    again: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Report, "Judgement"]:
    """What `compare` returns, and the judgement that it comes from."""
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
    judgement = Judgement(
        case, computed, given.values, unquantised, answers.apart, answers.unjudged, answers.wide
    )
    judgement.stored, judgement.misread = answers.stored, answers.misread
    found = {**findings, **judgement.findings(findings)}
    found |= judgement.unsteady(found, again)
    found |= explained(judgement.graph, found)
    found |= judgement.untouched(found, admit(case, answers.untouched))
    if precision == QUANTISED:
        found = {name: _for_int8(finding) for name, finding in found.items()}
    report = _report(case, subject, precision, found, judgement, (*remarks, *judgement.notes))
    if answers.outputs is not None:
        report = _with_outputs(report, answers.outputs)
    return report, judgement


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
# judging


class Judgement:
    """The comparison of a case's answers, all of them known, of the right shape and finite, with what is right.
    `unquantised`, `apart`, `unjudged` and `wide` as in `Answers`; so are `stored` and `misread`, by which nothing
    is judged."""

    def __init__(
        self,
        case: Case,
        precision: str,
        values: Arrays,
        unquantised: Mapping[str, Any] = MappingProxyType({}),
        apart: frozenset[str] = frozenset(),
        unjudged: Mapping[str, str] = MappingProxyType({}),
        wide: frozenset[str] = frozenset(),
    ) -> None:
        self.stored: Mapping[str, tuple[Stored, ...]] = {}
        self.misread: Mapping[str, tuple[Misread, ...]] = {}
        self.case, self.values, self._unquantised, self._unjudged = case, values, unquantised, unjudged
        self.precision = precision
        self.truth = Truth(case, precision, wide)
        self.graph = self.truth.graph
        self.replay = Replay(self.graph, values)
        samples = Truth(case, precision) if wide else self.truth  # of implementations that hold all in one type
        self.noise_floor, notes = fitting_floor(samples, self.replay, values, apart)
        self.notes = list(notes)
        self._coarse: dict[int, Replay] = {}
        self.ratios: dict[str, float] = {}
        """The own error of every answer that was judged, over what rounding explains."""

    def findings(self, before: Mapping[str, Finding]) -> dict[str, Finding]:
        """By name; `before` are the findings on answers that can't be judged.

        An error is inherited from a wrong answer. Where every answer that went into a tensor is right for its own
        inputs, the tensor is right, too, however far it is from the reference: the computation amplified its rounding,
        as one does at the kink of a ReLU or in a softmax of large scores.
        """
        found: dict[str, Finding] = {}
        wrong = {name for name, finding in before.items() if finding.status in WRONG}
        names = judged_names(self.graph, self.values)
        with ThreadPoolExecutor(2 if self.truth.large else 1) as pool:
            measured = dict(zip(names, pool.map(self._compared, names), strict=True))
        measured |= self._without_padding_row(measured)
        measured |= self._with_rounded_scale(measured)
        measured |= self._with_single_corrections(measured)
        for step in self.graph:
            behind = any(name in wrong for name in step.inputs)
            if step.name in self.values:
                finding = self._finding(step.name, behind, *measured[step.name])
                found[step.name] = self._of_integers(finding, behind) if step.name in self._unjudged else finding
            if behind or (step.name in found and found[step.name].status in WRONG):
                wrong.add(step.name)
        return found

    def _coarsely(self, bits: int) -> Replay:
        if bits not in self._coarse:  # rounds every parameter
            self._coarse[bits] = coarsely(self.replay, bits)
        return self._coarse[bits]

    def _of_integers(self, finding: Finding, behind: bool) -> Finding:
        """On an answer that integers make which nobody replays: wrong if no rounding to so few bits explains it."""
        name, why = finding.name, self._unjudged[finding.name]
        if not behind:
            ratio = times_rounding(self.replay, name, self.values[name], self._coarsely(bits_of(why)))
            if ratio > LIMIT:
                return self._wrong(replace(finding, own=ratio), "wrong", f"{why}; more than rounding to integers does")
        return replace(finding, status="unjudged", own=None, place=None, note=why)

    def unsteady(self, found: Mapping[str, Finding], again: Mapping[str, Any]) -> dict[str, Finding]:
        """Findings on answers that another run makes otherwise of the same inputs."""
        changed = unsteady(self.truth, self.noise_floor, self.values, again, found)
        if changed:
            where = next(step.name for step in self.graph if step.name in changed)
            self.notes.insert(0, f"two runs of the same case differ from {where} on: dropout is on, or threads race; "
                                 "what is behind it is judged by the inputs of its own run")  # fmt: skip
        elif again:
            self.notes.append(f"two runs differ in {len(again)} answers, by no more than rounding")
        return changed

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

    def _compared(self, name: str) -> Errors:
        total, own = compare_with(self.truth, self.values, name, self.replay)
        return total, self.own(name, self.replay) if name in self._unquantised else own

    def own(self, name: str, replay: Replay) -> Measures:
        """The own error of an answer, without what quantisation does to it."""
        return own_error(self.graph, {name: self.judged(name)}, name, replay)

    def judged(self, name: str) -> Any:
        """What an answer's own step is judged by: the answer, without what quantisation does to it."""
        return self._unquantised[name] if name in self._unquantised else self.values[name]

    def _own_ratio(self, name: str, own: Measures) -> float:
        return largest_ratio(own, self.noise_floor.own[name])[0]

    def _without_padding_row(self, measured: Mapping[str, Errors]) -> dict[str, Errors]:
        """The gradient of the words where padding takes part, measured once more if torch's `padding_idx` explains it:
        that's no mistake, whatever else is."""
        if WORDS not in measured or self._own_ratio(WORDS, measured[WORDS][1]) <= LIMIT:
            return {}
        other = self.replay.without_padding_row()
        own = None if other is None else self.own(WORDS, other)
        if other is None or own is None or self._own_ratio(WORDS, own) > LIMIT:
            return {}
        self.replay = other
        self.notes.append(PADDING_ROW)
        return {WORDS: (measured[WORDS][0], own)}

    def _with_rounded_scale(self, measured: Mapping[str, Errors]) -> dict[str, Errors]:
        """What the factor of the scores takes part in, measured once more if a rounded one explains more of it."""
        scaled = self.graph.scaled()
        before = {
            name: self._own_ratio(name, own)
            for name, (_, own) in measured.items()
            if not scaled.isdisjoint(span(self.graph, name, self.values))
        }
        replays = cache(self.replay.with_gain)

        def ratio(gain: float, name: str) -> float:
            return self._own_ratio(name, self.own(name, replays(gain)))

        chosen = score_scale.explaining(self.truth.precision, self.case.config.head_size, before, ratio)
        if chosen is None:
            return {}
        self.replay = replays(chosen)
        self.notes.append(score_scale.NOTE)
        return {name: self._compared(name) for name in before}

    def _with_single_corrections(self, measured: Mapping[str, Errors]) -> dict[str, Errors]:
        """The updates measured once more, if bias corrections in float32 explain some that the reference's don't."""
        if self.case.optimizer is None or self.truth.precision == "float64":
            return {}
        before = {name: self._own_ratio(name, own) for name, (_, own) in measured.items() if name[:7] == "update:"}

        def ratio(optimizer: Optimizer, name: str) -> float:
            return self._own_ratio(name, self.own(name, self.replay.with_optimizer(optimizer)))

        chosen = bias_correction.explaining(self.case.optimizer, self.case.params, before, ratio)
        if chosen is None:
            return {}
        self.truth, self.replay = self.truth.with_optimizer(chosen), self.replay.with_optimizer(chosen)
        self.notes.append(bias_correction.NOTE)
        return {name: self._compared(name) for name in before}

    def _finding(self, name: str, behind: bool, total: Measures, own: Measures) -> Finding:
        floor = self.noise_floor.total[name]
        total_ratio, _ = largest_ratio(total, floor)
        own_ratio, measure = largest_ratio(own, self.noise_floor.own[name])
        if own_ratio > LIMIT:
            raised = for_larger(self.truth, self.replay, name, self.noise_floor.own[name])
            own_ratio, measure = largest_ratio(own, raised)
        self.ratios[name] = np.inf if np.isnan(own["all"]).any() else own_ratio
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
        recorded = self.replay.input(name) if status == "inherited" else np.asarray(self.judged(name))
        found = self.graph.axes(name).clean(recorded)
        expected = self.truth(name) if status == "inherited" else self.replay(name)
        where = place(self.graph, name, found - expected, expected, found)
        return replace(finding, status=status, place=where, note=note)


def largest_ratio(found: Measures, floor: Measures) -> tuple[float, str]:
    """The largest ratio of any measure and block, and the measure in words."""
    best, words = 0.0, ""
    for name, values in ratios(found, floor).items():
        if np.isnan(values).all():
            continue
        at = int(np.nanargmax(values))
        if values[at] > best:
            best, words = float(values[at]), f"largest: {in_words(name, at, len(values))}"
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
    report = Report(subject, precision, describe(case), verdict, None, None, findings, LIMIT, notes)
    return bracketed(report, judgement.graph, wrong[0] if wrong else None, findings)
