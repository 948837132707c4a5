"""Why a subject diverges: one cause after the other, each in force for the search for the next."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ..graph.axes import split
from ..judgement.limit import LIMIT
from ..records import Cause, Diagnosis, Report
from ..report.layout import number
from .families import HYPOTHESES
from .hypothesis import Told
from .scene import Scene
from .trials import Trials, TriedHypothesis

MOST = 5
"""Causes that are looked for at most."""
OWN = ("added", "wrong")
"""The statuses of a first wrong tensor that a step's formula may explain."""


def diagnose(
    report: Report,
    scene: Scene,
    another: Callable[[], Scene | None] = lambda: None,
    *,
    force: bool = False,
    without: Collection[str] = (),
) -> Diagnosis:
    """Looks for the cause of the first wrong tensor, and for those of others of its kind: forward ones, gradients,
    updates.

    scene    of the judgement that the report comes from
    another  another case of the same subject, of another seed and size, judged, too; asked for when something explains
             the first one. None: there is none (a dump), so that the case's own rows and layers that nothing was fitted
             to have to do
    force    the tensor of the largest ratio is taken for wrong, whatever the verdict
    without  ids of hypotheses that are left out
    """
    finding = next((finding for finding in report.findings if finding.name == report.first), None)
    if not force and (finding is None or finding.status not in OWN):
        return Diagnosis("unknown", note="only a step that is wrong by itself is looked into")
    return _Search(scene, another, frozenset(without)).run(report.first, force=force)


@dataclass(frozen=True)
class _Proved:
    """Candidates that explain the first wrong tensor equally well, and what else was tried there."""

    first: str
    best: list[TriedHypothesis]
    others: list[TriedHypothesis]
    ruled_out: tuple[str, ...]


class _Search:
    def __init__(self, scene: Scene, another: Callable[[], Scene | None], without: frozenset[str]) -> None:
        self._scene, self._another, self._without = scene, another, without
        self._second: Scene | None = None
        self._asked, self._kind = False, ""

    def run(self, first: str | None, *, force: bool) -> Diagnosis:
        if force:
            first = max(self._scene.judged_names(), key=self._scene.ratio)
        self._kind = "" if first is None else split(first)[0]
        sizes = self._sizes()
        if first not in sizes or (sizes[first] <= LIMIT and not force):
            return Diagnosis("unknown", note="only steps whose answers were recorded are looked into")
        found: list[_Proved] = []
        while first is not None and len(found) < MOST:
            proved = self._at(first, sizes)
            if not proved.best:
                if not found:
                    left = tuple(name for name, size in sizes.items() if size > LIMIT)
                    return Diagnosis("unknown", left=left, ruled_out=proved.ruled_out)
                break
            found.append(proved)
            if len(proved.best) > 1:
                break
            self._repair(proved.best[0])
            sizes = self._sizes()
            first = next((name for name, size in sizes.items() if size > LIMIT), None)
        return self._diagnosis(found, tuple(name for name, size in sizes.items() if size > LIMIT))

    def _sizes(self) -> dict[str, float]:
        """What the steps of the forward answers added, over rounding; of gradients or updates, too, if the first wrong
        one is of these."""
        kinds = ("", self._kind)
        return {name: self._scene.ratio(name) for name in self._scene.judged_names() if split(name)[0] in kinds}

    def _repair(self, candidate: TriedHypothesis) -> None:
        self._scene = candidate.on(self._scene)
        if self._second is not None:
            self._second = candidate.on(self._second)

    def _at(self, first: str, sizes: dict[str, float]) -> _Proved:
        """All hypotheses at one wrong tensor; of those that pass, the best: those that explain most, of these those
        with the least freedom."""
        trials, passed, tried = Trials(self._scene, first, sizes), list[TriedHypothesis](), []
        for hypothesis in HYPOTHESES:
            if hypothesis.id in self._without:
                continue
            held = [one for one in trials.explaining(hypothesis) if self._agrees(one, first)]
            passed += held
            if not held and any(hypothesis.applies(self._scene.rows[name]) for name in trials.inside):
                tried.append(hypothesis.id)
        passed.sort(key=_rank)
        best: dict[str, TriedHypothesis] = {}
        for one in passed:
            if _rank(one) == _rank(passed[0]):
                best.setdefault(one.hypothesis.id, one)
        others = [one for one in passed if one not in best.values()]
        return _Proved(first, list(best.values()), others, tuple(tried))

    def _agrees(self, candidate: TriedHypothesis, first: str) -> bool:
        """Whether another case says the same; where there is none, this one has to do."""
        if not self._asked:
            self._second, self._asked = self._another(), True
        if self._second is None:  # a number is fitted to half of a tensor, and a loss has no halves
            return candidate.freedom < 2 or self._scene.values[first].ndim > 0
        return candidate.holds(self._second, first)

    def _diagnosis(self, found: list[_Proved], left: tuple[str, ...]) -> Diagnosis:
        """Only causes beside which nothing else remains wrong are named: what remains may be the other half of the same
        mistake."""
        last = found[-1]
        if len(last.best) > 1:
            if len(found) == 1:
                return Diagnosis("ambiguous", tuple(self._cause(one, last) for one in last.best), left)
            found = found[:-1]
        clean = [one for one in found if self._is_clean(one.best[0], left)]
        left += tuple(name for one in found if one not in clean for name in one.best[0].explained)
        if not clean or clean[0] is not found[0]:
            return Diagnosis("unknown", left=left, ruled_out=found[0].ruled_out,
                             note="what explains the first wrong tensor leaves others beside it wrong")  # fmt: skip
        right = "" if left else "the computation" if self._kind or self._backward_right() else "the forward pass"
        causes = [self._cause(one.best[0], one, right if one is clean[-1] else "") for one in clean]
        return Diagnosis("named", tuple(causes), left)

    def _is_clean(self, candidate: TriedHypothesis, left: tuple[str, ...]) -> bool:
        """Whether nothing of what remains wrong is in the same part of the network as what the candidate explains, or
        reads it: a tensor that was recorded under another's name is wrong, and so is what is made of it."""
        scene, explained = self._scene, candidate.explained.keys()
        parts = {scene.part(name) for name in explained}
        steps = scene.replay.graph.steps
        return all(scene.part(name) not in parts and not explained & set(steps[name].inputs) for name in left)

    def _backward_right(self) -> bool:
        """Whether there are gradients, and all their own steps are right with the repairs in force."""
        names = [name for name in self._scene.judged_names() if name.startswith("grad:")]
        return bool(names) and all(self._scene.ratio(name) <= LIMIT for name in names)

    def _cause(self, candidate: TriedHypothesis, proved: _Proved, right: str = "") -> Cause:
        """The record; `right` says what is right with it and those before it, if not just what it explains."""
        hypothesis, fitted = candidate.hypothesis, candidate.number
        told = Told(
            candidate.names, candidate.possible, candidate.everywhere,
            self._scene.case.config.num_hidden_layers, candidate.choice.words,
            None if fitted is None else candidate.value(self._scene), "" if fitted is None else fitted.known,
            None if fitted is None else fitted.value, self._scene,
        )  # fmt: skip
        return Cause(
            hypothesis.id, f"{hypothesis.sentence(told)}. {_proof(candidate, told, right)}",
            () if fitted is None else (fitted,), candidate.choice.words, tuple(candidate.explained),
            candidate.before, candidate.after, hypothesis.where,
            hypothesis.patch.format(epsilon=self._scene.case.numerics.layer_norm_eps),
            tuple(dict.fromkeys(one.hypothesis.id for one in proved.others if one.hypothesis.id != hypothesis.id)),
            proved.ruled_out,
        )  # fmt: skip


def _rank(candidate: TriedHypothesis) -> tuple[int, int]:
    return -len(candidate.explained), candidate.freedom


def _proof(candidate: TriedHypothesis, told: Told, right: str) -> str:
    """What the replay gave."""
    what = right or replace(told, names=tuple(candidate.explained)).at
    return f"With that {what} is right to rounding ({number(candidate.before)} -> {number(candidate.after)})."
