"""A live subject's single steps, each computed from the reference's inputs.

What a subject records of its own run tells whose error an error is only where it records a step's inputs, too. One that
can be fed (`ComputesOps`) needn't record anything: it gets the right inputs, rounded to what it computes in, and what
it makes of them is compared with what the reference makes of the same rounded numbers, so that only the step's own
rounding is left. Noise floor and limit are those of every other judgement.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ...errors import InputError
from ...optim import Optimizer
from ...topology import is_parameter
from ..emulation.formats import FORMATS, Format, nearest
from ..emulation.simulate import LOSS_SCALE
from ..judgement import bias_correction, score_scale
from ..judgement.bracket import bracketed
from ..judgement.composition import norms_are_composed, scatters
from ..judgement.given import admit, overflow_allowed
from ..judgement.judge import largest_ratio
from ..judgement.limit import LIMIT
from ..judgement.localise import place
from ..judgement.measures import Measures, mean_square
from ..judgement.noise_floor import compare_with, noise_floor, own_error
from ..judgement.truth import Truth
from ..records import HALVES, WRONG, Arrays, Case, Finding, Report
from ..report.words import listed
from ..subject import ComputesOps
from .axes import split
from .replay import Replay
from .steps import Graph, Step

FED = "fed the reference's inputs"


def feed(subject: ComputesOps, case: Case, report: Report, names: Collection[str] | None = None) -> Report:
    """The report with the steps that are wrong by themselves; `names` are those to ask for, all if None.

    What was wrong before stays as it was found. A step that is right changes nothing: the subject's own run may still
    compute it in another way. Raises what the subject raises, and `InputError` for answers that weren't asked for.
    """
    feeder = Feeder(case, report.precision)
    with np.errstate(all="ignore"):
        found = feeder.findings(feeder.ask(subject, names))
    known = {finding.name: finding for finding in report.findings}
    bad = {name: finding for name, finding in found.items() if finding.status in WRONG}
    for name, finding in bad.items():
        if known[name].status not in WRONG:
            known[name] = replace(finding, total=known[name].total)
    note = f"{len(found)} steps {FED}: " + (f"{len(bad)} wrong: {listed(list(bad))}" if bad else "all right")
    notes = (*report.notes, note if found else "no step can be fed the reference's inputs")
    report = replace(report, notes=notes, fed=tuple(found))
    wrong = [name for name, finding in known.items() if finding.status in WRONG]
    if not bad or any(known[name].status == "unsteady" for name in wrong):
        return replace(report, findings=tuple(known.values()))
    return bracketed(replace(report, verdict="diverges"), feeder.graph, wrong[0], tuple(known.values()))


class Feeder:
    """The right inputs of a case's steps as a subject of some precision holds them, and what is right for them."""

    def __init__(self, case: Case, precision: str) -> None:
        self.case, self.precision = case, precision
        self.truth = Truth(case, precision)
        self.graph: Graph = self.truth.graph
        self.right = Replay(self.graph, Rounded(self.truth, precision))
        self._scale = loss_scale(precision)

    def ask(self, subject: ComputesOps, names: Collection[str] | None = None) -> Arrays:
        """Every answer that the subject gives to one of the steps in `names`."""
        given: Arrays = {}
        siblings: dict[tuple[str, ...], set[str]] = {}
        for step in self.graph:
            siblings.setdefault(step.inputs, set()).add(step.name)
        updates = False
        for step in self.graph:
            update = step.name.startswith("update:")
            if step.name in given or (names is not None and step.name not in names) or (update and updates):
                continue
            updates = updates or update  # all at once or none: each would be handed all gradients again
            answer = subject.answer_step(self.case, step.name, self._inputs(step))
            others = sorted(set(answer) - siblings[step.inputs])
            if others:
                raise InputError(
                    f"answer_step was asked for {step.name} and gave {listed(others)}, too; it may give only what is "
                    "made from the same inputs"
                )
            factor = self._factor(step)
            given |= {name: np.asarray(value) / factor for name, value in answer.items()}
        return given if names is None else {name: value for name, value in given.items() if name in names}

    def _inputs(self, step: Step) -> Arrays:
        held = np.float64 if self.precision == "float64" else np.float32
        return {name: (self.right.input(name) * self._factor_of(name)).astype(held) for name in step.inputs}

    def _factor_of(self, name: str) -> float:
        return self._scale if _is_upstream(name) else 1.0

    def _factor(self, step: Step) -> float:
        """By what an answer is too large: a step is linear in gradients, and these are those of the scaled loss."""
        fed = split(step.name)[0] == "grad" and any(_is_upstream(name) for name in step.inputs)
        return self._scale if fed else 1.0

    def findings(self, given: Arrays) -> dict[str, Finding]:
        """The judgement on every answer that can be judged, in the order of the computation."""
        admitted = admit(self.case, given)
        found = {name: replace(finding, note=f"{FED}: {finding.note}") for name, finding in admitted.findings.items()}
        found = overflow_allowed(self.case, self.precision, found)
        values = {name: v for name, v in admitted.values.items() if np.isfinite(self.right(name)).all()}
        floor = self._floors(values)
        self._refit(values, floor)
        found |= {name: self._finding(name, values, floor[name]) for name in values}
        return {step.name: found[step.name] for step in self.graph
                if step.name in found and found[step.name].status != "unjudged"}  # fmt: skip

    def _refit(self, values: Arrays, floor: Mapping[str, Measures]) -> None:
        """Takes other right ways to compute scores and updates, if these explain more (`judgement.alternatives`)."""

        def ratio(right: Replay, name: str) -> float:
            return largest_ratio(own_error(self.graph, values, name, right), floor[name])[0]

        def scaled(gain: float, name: str) -> float:
            return ratio(replays(gain), name)

        def stepped(optimizer: Optimizer, name: str) -> float:
            return ratio(self.right.with_optimizer(optimizer), name)

        replays, step = cache(self.right.with_gain), self.case.optimizer
        before = {name: ratio(self.right, name) for name in values if name in self.graph.scaled()}
        gain = score_scale.explaining(self.precision, self.case.config.head_size, before, scaled)
        if gain is not None:
            self.right = replays(gain)
        if step is None or self.precision == "float64":
            return
        before = {name: ratio(self.right, name) for name in values if name.startswith("update:")}
        optimizer = bias_correction.explaining(step, self.case.params, before, stepped)
        if optimizer is not None:
            self.right = self.right.with_optimizer(optimizer)

    def _floors(self, values: Arrays) -> Mapping[str, Measures]:
        """The noise floor of a subject that records everything: of each step alone, as the subject composes it."""
        backwards = any(split(name)[0] for name in values)
        recorded = {step.name for step in self.graph if backwards or not split(step.name)[0]}
        once = noise_floor(self.truth, recorded).own
        if self.precision not in HALVES:
            return once
        composed = {"norms"} if norms_are_composed(self.graph, self.right, values, once) else set()
        floors = {}
        for which in ("", "grad"):
            jumps = max(scatters(self.graph, self.right, values, once, which), default=0.0)
            parts = composed | ({"activations"} if jumps > LIMIT else set())
            floors[which] = noise_floor(self.truth, recorded, composed=frozenset(parts)).own
        return {name: floors.get(split(name)[0], floors["grad"])[name] for name in once}

    def _finding(self, name: str, values: Arrays, floor: Measures) -> Finding:
        axes, expected = self.graph.axes(name), self.right(name)
        _, own = compare_with(self.truth, values, name, self.right)
        ratio, measure = largest_ratio(own, floor)
        size = float(np.sqrt(mean_square(expected, axes)))
        error, noise = (float(np.sqrt(m["all"][0])) / size if size else None for m in (own, floor))
        finding = Finding(name, "right", None, ratio, error, noise, note=FED)
        if ratio <= LIMIT:
            return finding
        value = axes.clean(np.asarray(values[name], np.float64))
        where = place(self.graph, name, value - expected, expected, value)
        return replace(finding, status="added", place=where, note=f"{FED}; {measure}")


class Rounded(Mapping[str, Any]):
    """The right answers as somebody of a precision would hand them from step to step, made when they are looked at.

    Losses and the gradients of parameters, with which only the optimiser computes, are held in at least float32;
    gradients in float16 are those of the scaled loss, without which they would vanish.
    """

    def __init__(self, truth: Truth, precision: str) -> None:
        self._truth, self._precision = truth, precision
        self._scale = loss_scale(precision)

    def __getitem__(self, name: str) -> Any:
        value = self._truth(name)
        upstream = _is_upstream(name)
        scale = self._scale if upstream else 1.0
        narrow = (upstream or not split(name)[0]) and not split(name)[1].startswith("loss.")
        rounded = nearest(np.asarray(value * scale), self._held(narrow))
        return rounded.astype(np.float64) / scale

    def _held(self, narrow: bool) -> Format:
        own = FORMATS.get(self._precision, FORMATS["float32"])
        return own if narrow or own.bits == 64 else FORMATS["float32"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._truth.graph.steps)

    def __len__(self) -> int:
        return len(self._truth.graph.steps)

    def __contains__(self, name: object) -> bool:
        return name in self._truth.graph.steps


def loss_scale(precision: str) -> float:
    """By what the loss, and so every gradient that is handed on, is multiplied."""
    return LOSS_SCALE if "float16" in precision.replace("bfloat16", "") else 1.0


def _is_upstream(name: str) -> bool:
    """Whether it is a gradient that other gradients are made from: not a parameter's."""
    prefix, rest = split(name)
    return prefix == "grad" and not is_parameter(rest)
