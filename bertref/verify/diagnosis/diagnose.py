"""Why a subject diverges: one cause after the other, each in force for the search for the next."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from ..graph.axes import kind, split
from ..judgement.judge import WORDS
from ..judgement.limit import LIMIT
from ..records import Cause, Diagnosis, Report
from ..report.layout import number
from .describe import described
from .families import HYPOTHESES
from .families.steps import as_corrected
from .hypothesis import Told
from .scene import BACK, Scene
from .trials import Trials, TriedHypothesis

MOST = 5
"""Causes that are looked for at most."""
CASES = 4
"""Others that are tried at most, until one shows the mistake so clearly that it decides. More: a check that finds
nothing takes longer; fewer: in half precision some causes remain unknown."""
FEW, OF_FEW = 4, 0.001
"""Where there is no other case, a cause has to leave less than this share of the error of fewer numbers than FEW.
Larger: of some hundred choices that change a loss by as much as rounding does, one comes near to it by chance."""
AGREEING = 2
"""Other cases that have to agree on fewer numbers than FEW. 1: of some hundred choices one may explain a wrong loss in
two cases by chance; more: a check takes longer."""
Another = Callable[[str, int], Scene | None]
BY_ITSELF = "only a step that is wrong by itself is looked into"
NOT_LOOKED_INTO = {"not-finite": "what isn't finite isn't looked into", "shape": "another shape isn't looked into"}
"""What is said of a first wrong tensor that isn't, by its status."""
OWN = ("added", "wrong", "unsteady")
"""The statuses of a first wrong tensor that a step's formula may explain."""


def diagnose(
    report: Report,
    scene: Scene,
    another: Another = lambda kind, i: None,
    *,
    force: bool = False,
    without: Collection[str] = (),
) -> Diagnosis:
    """Looks for the cause of the first wrong tensor, and, with that in force, for the next one's.

    scene    of the judgement that the report comes from
    another  other cases of the same subject, each of another seed and size, by their numbers, judged, too, with all
             answers up to a kind: forward ones (""), gradients ("grad"), updates ("update"); asked for when something
             explains a tensor of that kind. None: there is none (a dump), so that the case's own rows and layers that
             nothing was fitted to have to do
    force    the tensor of the largest ratio is taken for wrong, whatever the verdict
    without  ids of hypotheses that are left out
    """
    finding = next((finding for finding in report.findings if finding.name == report.first), None)
    if not force and (finding is None or finding.status not in OWN):
        return Diagnosis("unknown", note=NOT_LOOKED_INTO.get(finding.status if finding else "", BY_ITSELF))
    found = _Search(scene, another, frozenset(without), force=force).run(report.first)
    if found.outcome == "ambiguous" or not found.left:
        return found
    first = next(name for name in scene.judged_names() if name in found.left)
    return replace(found, looks=described(scene, first))


@dataclass(frozen=True)
class _Proved:
    """Candidates that explain the first wrong tensor equally well, and what else was tried there. `back`: gradients
    that were wrong only because they are those of what the candidate says."""

    first: str
    best: list[TriedHypothesis]
    others: list[TriedHypothesis]
    ruled_out: tuple[str, ...]
    back: tuple[str, ...] = ()


class _Search:
    def __init__(
        self, scene: Scene, another: Another, without: frozenset[str], *, force: bool
    ) -> None:
        scene = as_corrected(scene) if force else scene  # which is done for what is wrong already
        self._scene, self._another, self._without = scene, another, without
        self._others: dict[tuple[str, int], Scene | None] = {}
        self._found: list[_Proved] = []
        self._not_followed: set[str] = set()
        self._sizes = scene.ratios(scene.judged_names())
        self._limit = 0.0 if force else LIMIT
        self._quantised = bool(scene.stored or scene.misread)

    def run(self, first: str | None) -> Diagnosis:
        """From this tensor on. Where the limit is 0, from the one of the largest ratio."""
        if not self._limit:
            first = max(self._sizes, key=self._sizes.__getitem__)
        if first not in self._sizes or self._sizes[first] <= self._limit:
            return Diagnosis("unknown", note="only steps whose answers were recorded are looked into")
        while first is not None and len(self._found) < MOST:
            proved = self._at(first)
            if not proved.best:
                if not self._found:
                    return Diagnosis("unknown", left=self._left(), ruled_out=proved.ruled_out)
                step = split(first)[0] != "update"  # it has nothing to do with what made the gradients
                first = next((name for name in self._left() if step and name.startswith("update:")), None)
                continue
            self._found.append(proved)
            if len(proved.best) > 1:
                break
            self._repair(proved)
            first = next(iter(self._left()), None)
        return self._diagnosis()

    def _left(self) -> tuple[str, ...]:
        """What is still wrong, and no part of a way back that isn't followed."""
        wrong = (name for name, size in self._sizes.items() if size > LIMIT)
        return tuple(name for name in wrong if not self._scene.span(name) & self._not_followed)

    def _repair(self, proved: _Proved) -> None:
        """The candidate stays in force, on the way back, too."""
        candidate, before = proved.best[0], self._scene
        self._scene, unknown = candidate.repaired(before)
        sizes = self._ratios(before, self._scene, candidate)
        if _wrong_gradients(self._sizes | sizes) > _wrong_gradients(self._sizes):
            alone = replace(candidate, forward_alone=True)
            scene, _ = alone.repaired(before)
            others = self._ratios(before, scene, candidate)
            if _wrong_gradients(self._sizes | others) < _wrong_gradients(self._sizes | sizes):
                candidate, self._scene, sizes, unknown = alone, scene, others, set()
        self._not_followed |= {f"{BACK} {name}" for name in unknown}
        self._not_followed |= {name for name, row in before.rows.items() if candidate.hypothesis.hides(row)}
        self._others = {which: scene and candidate.repaired(scene)[0] for which, scene in self._others.items()}
        right = [
            name for name, size in sizes.items()
            if self._sizes[name] > LIMIT >= size and name not in candidate.explained
        ]  # fmt: skip
        self._sizes |= sizes
        if _reads_padding(before, self._scene) and self._sizes.get(WORDS, 0.0) > LIMIT:
            other = self._scene.without_padding_row()
            if other.ratio(WORDS) <= LIMIT:  # which is no mistake, whatever else is
                self._scene, self._sizes[WORDS] = other, other.ratio(WORDS)
        self._found[-1] = replace(proved, best=[candidate, *proved.best[1:]], back=tuple(right))

    def _ratios(self, before: Scene, after: Scene, candidate: TriedHypothesis) -> dict[str, float]:
        """The errors of the steps that may be others after a repair, by name."""
        changed = {start + name for name in candidate.names for start in ("", f"{BACK} ")}
        padding = _reads_padding(before, after) or after.replay.graph.reads_slots != before.replay.graph.reads_slots
        return after.ratios(
            name for name in self._sizes if padding or (before.span(name) | after.span(name)) & changed
        )

    def _at(self, first: str) -> _Proved:
        """All hypotheses at one wrong tensor; of those that pass, the best: those that explain most, of these those
        with the least freedom."""
        trials, passed, tried = Trials(self._scene, first, self._sizes), list[TriedHypothesis](), []
        for hypothesis in HYPOTHESES:
            if hypothesis.id in self._without or (hypothesis.integers and not self._quantised):
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
        """Whether another case says the same, of few numbers two others; where there is none, this one has to do."""
        needed = AGREEING if self._scene.values[first].size < FEW else 1
        for i in range(CASES):
            other = self._other(split(first)[0], i)
            if other is None:
                return i == 0 and self._proves_itself(candidate, first)
            holds = candidate.holds(other, first)
            if holds is False:
                return False
            needed -= holds is True
            if not needed:
                return True
        return False

    def _proves_itself(self, candidate: TriedHypothesis, first: str) -> bool:
        """Whether what a candidate explains without another case is no chance: a number is fitted to half of a tensor,
        and a loss has no halves; of a few numbers it has to leave next to nothing."""
        value, (before, after) = self._scene.values[first], candidate.explained[first]
        return (value.ndim > 0 or candidate.freedom < 2) and (value.size >= FEW or after <= OF_FEW * before)

    def _other(self, prefix: str, i: int) -> Scene | None:
        """Another case, with what was found in force; asked once."""
        if (prefix, i) not in self._others:
            other = self._another(prefix, i)
            for proved in self._found:
                other = other and proved.best[0].repaired(other)[0]
            self._others[prefix, i] = other
        return self._others[prefix, i]

    def _diagnosis(self) -> Diagnosis:
        """Only causes beside which nothing else remains wrong are named: what remains may be the other half of the same
        mistake."""
        found, left = self._found, self._left()
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
        right = "" if left else "the computation" if self._backward_right() else "the forward pass"
        causes = [self._cause(one.best[0], one, right if one is clean[-1] else "") for one in clean]
        return Diagnosis("named", tuple(causes), left)

    def _is_clean(self, candidate: TriedHypothesis, left: tuple[str, ...]) -> bool:
        """Whether of what remains wrong, forward or among gradients as what the candidate explains, nothing is in the
        same part of the network, or the same tensor of another layer, or reads what it explains: a tensor that was
        recorded under another's name is wrong, and so is what is made of it."""
        scene, explained = self._scene, candidate.explained.keys()
        parts, kinds = ({of(name) for name in explained} for of in (scene.part, kind))
        prefixes = {split(name)[0] for name in explained}
        steps = scene.replay.graph.steps
        return not any(
            scene.part(name) in parts or kind(name) in kinds or explained & set(steps[name].inputs)
            for name in left if split(name)[0] in prefixes
        )  # fmt: skip

    def _backward_right(self) -> bool:
        """Whether there are gradients, and all their own steps are right with the repairs in force."""
        found = [size for name, size in self._sizes.items() if name.startswith("grad:")]
        return bool(found) and max(found) <= LIMIT

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
            hypothesis.id, f"{hypothesis.sentence(told)}. {self._proof(candidate, told, right)}",
            () if fitted is None else (fitted,), candidate.choice.words, (*candidate.explained, *proved.back),
            candidate.before, candidate.after, hypothesis.where,
            hypothesis.patch.format(epsilon=self._scene.case.numerics.layer_norm_eps),
            tuple(dict.fromkeys(one.hypothesis.id for one in proved.others if one.hypothesis.id != hypothesis.id)),
            proved.ruled_out,
        )  # fmt: skip

    def _proof(self, candidate: TriedHypothesis, told: Told, right: str) -> str:
        """What the replay gave."""
        what, left = right or replace(told, names=tuple(candidate.explained)).at, self._left()
        alone = candidate.forward_alone and not any(name.startswith("grad:") for name in left)
        said, ends = "The gradients are those of the right formula. ", (candidate.before, candidate.after)
        return f"{said if alone else ''}With that {what} is right to rounding ({' -> '.join(map(number, ends))})."


def _wrong_gradients(sizes: Mapping[str, float]) -> int:
    return sum(name.startswith("grad:") and size > LIMIT for name, size in sizes.items())


def _reads_padding(before: Scene, after: Scene) -> bool:
    """Whether padded positions take part only after a repair."""
    return after.replay.graph.reads_padding and not before.replay.graph.reads_padding


def _rank(candidate: TriedHypothesis) -> tuple[int, int]:
    return -len(candidate.explained), candidate.freedom
