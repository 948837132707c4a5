"""What a right verdict could not have seen: every hypothesis, applied to the reference, against the limit.

A subject that is right has recorded what a subject with a mistake would have had to record otherwise. How far each
judged step would then have been from what it was given follows from a replay: the step, computed as the hypothesis
says, of the right subject's own inputs. What stays within the limit everywhere would have been called right.

Of steps on which nothing that was judged depends, the report says that they weren't judged; they are not gone through
here. Nor is what a hypothesis can't compute of these answers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..graph.axes import kind, split
from ..judgement.limit import LIMIT
from ..judgement.measures import Measures
from ..records import BlindSpot, BlindSpots, Case, OptimizerCase, Report
from .families import HYPOTHESES
from .hypothesis import Hypothesis, Possibility, Told
from .scene import BACK, START, STEP, Back, Made, Scene
from .trials import rewritten
from .way_back import with_ways_back

PARTS = {
    "clipping": ("clipping_",), "moments": ("beta", "root_missing"), "epsilon": ("epsilon",),
    "correction": ("bias_correction",), "decay": ("decay_",), "rate": ("rate",), "trust ratio": ("trust_ratio",),
    "tied table": ("stepped_twice",),
}  # fmt: skip
"""Part of the optimiser's step -> what the names of its hypotheses begin with."""
HIDDEN_BY = ("probes", "case", "precision")
"""What hides a blind spot (`BlindSpot.hidden_by`), in the order of the report."""


FACTS: dict[str, tuple[str, Callable[[Case], bool]]] = {
    "no padding": ("attention embeddings inputs pooler loss", lambda case: bool(case.batch.attention_mask.all())),
    "a single segment": ("embeddings inputs", lambda case: not case.batch.token_type_ids.any()),
    "a single attention head": ("attention heads dense", lambda case: case.config.num_attention_heads == 1),
    "a single layer": ("dense residual", lambda case: case.config.num_hidden_layers == 1),
    "a first step's moments, 0": ("optimizer", lambda case: _at_zero(case.optimizer)),
}
"""What a case has that hides mistakes, the families of hypotheses that are concerned, and when it has that."""


def _at_zero(step: OptimizerCase | None) -> bool:
    return step is not None and not any(np.any(moment) for moment in step.moments.values())


def blind_spots(report: Report, scene: Scene, hypotheses: Iterable[Hypothesis] = HYPOTHESES) -> BlindSpots:
    """Of a right report, and the scene of the judgement that it comes from."""
    search = _Search(report, scene)
    every = list(search.run(hypotheses))
    spots = [search.spot(some) for some in _together([one for one in every if one.hidden_by])]
    spots.sort(key=lambda spot: HIDDEN_BY.index(spot.hidden_by))
    return BlindSpots(tuple(spots), _step(every))


@dataclass(frozen=True)
class Applied:
    """A hypothesis with a choice, applied to the rows of these names. `ratio`, `hidden_by` and `ask` as in a
    `BlindSpot`; hidden by nothing, "", it would have shown."""

    hypothesis: Hypothesis
    choice: Possibility
    names: tuple[str, ...]
    ratio: float
    hidden_by: str = ""
    ask: tuple[str, ...] = ()

    @property
    def same(self) -> tuple[str, str]:
        """What is said in one sentence has this in common."""
        return self.hypothesis.id, self.hidden_by


def applied(report: Report, scene: Scene, hypotheses: Iterable[Hypothesis] = HYPOTHESES) -> Iterator[Applied]:
    """Hypotheses in every form, applied to what was judged."""
    return _Search(report, scene).run(hypotheses)


class _Search:
    def __init__(self, report: Report, scene: Scene) -> None:
        self._scene, self._fed = scene, set(report.fed)
        right = {finding.name for finding in report.findings if finding.status == "right"}
        self._spans = {name: scene.span(name) for name in scene.judged_names() if name in right}
        self._floors: dict[str, Mapping[str, Measures]] = {}

    def run(self, hypotheses: Iterable[Hypothesis]) -> Iterator[Applied]:
        """The rows of a kind are changed all at once, as a mistake in the code of a layer does."""
        judged = self._fed.union(*self._spans.values())
        for hypothesis in hypotheses:
            if hypothesis.rounding:
                continue
            groups: dict[str, list[str]] = {}
            for name, row in self._scene.rows.items():
                if hypothesis.applies(row):
                    groups.setdefault("" if hypothesis.whole else kind(name), []).append(name)
            for names in groups.values():
                if not judged.isdisjoint(names):
                    yield from self._at(hypothesis, names)

    def _at(self, hypothesis: Hypothesis, names: list[str]) -> Iterator[Applied]:
        """A number that makes no difference, where others of the same kind do, is only too small."""
        found = []
        for choice in self._choices(hypothesis, names):
            changes = rewritten(self._scene, hypothesis, names, choice.value)
            if changes:
                found.append(self._applied(hypothesis, choice, changes))
        small = hypothesis.number is not None and any(one.hidden_by != "case" for one in found)
        yield from (replace(one, hidden_by="precision") if small and one.hidden_by == "case" else one for one in found)

    def _choices(self, hypothesis: Hypothesis, names: Iterable[str]) -> Iterator[Possibility]:
        """Of a free number, the listed constants that are not the reference's."""
        scene, number = self._scene, hypothesis.number
        if number is None:
            every = [one for name in names for one in hypothesis.choices(scene, scene.rows[name])]
            yield from {(one.words, one.value): one for one in every}.values()
            return
        own = number.own(scene)
        for words, value in number.constants(scene).items():
            if own is None or abs(value - own) > 1e-9 * abs(own):
                yield Possibility(words, value)

    def _applied(self, hypothesis: Hypothesis, choice: Possibility, changes: dict[str, Made]) -> Applied:
        ratio = self._largest(changes)
        if ratio <= LIMIT and any(name in self._scene.replay.graph.rows for name in changes):
            with_back, _ = with_ways_back(self._scene, hypothesis, changes, choice.value)
            ratio = max(ratio, self._largest(with_back, [f"{BACK} {name}" for name in changes]))
        found = Applied(hypothesis, choice, tuple(changes), ratio)
        if ratio > LIMIT:
            return found
        names = self._answers(changes)
        alone, same = self._alone_ratio(rewritten(self._alone, hypothesis, changes, choice.value), names)
        if alone > LIMIT:
            fed = self._fed.issuperset(names)
            return replace(found, ratio=alone) if fed else replace(found, hidden_by="probes", ask=self._ask(names))
        return replace(found, hidden_by="case" if same else "precision")

    def _largest(self, changes: dict[str, Made], rows: Iterable[str] | None = None) -> float:
        """The largest error over rounding that changes make in a judged step that the rows (those changed) may have
        made; the first one above the limit, if there is one."""
        changed, largest, rows = self._scene.changed(changes), 0.0, set(changes if rows is None else rows)
        for name, inside in self._spans.items():
            if not rows.isdisjoint(inside):
                largest = max(largest, self._scene.difference(name, changed)[0])
                if largest > LIMIT:
                    break
        return largest

    # -- by itself -----------------------------------------------------------------------------------------------------

    @cached_property
    def _alone(self) -> Scene:
        return self._scene.alone()

    def _alone_ratio(self, changes: Mapping[str, Made], names: Iterable[str]) -> tuple[float, bool]:
        """The same where every step is judged by itself, and whether the changes make no difference at all."""
        changed, largest, all_same = self._alone.changed(changes), 0.0, True
        for name in names:
            ratio, same = self._alone.difference(name, changed, self._floor(split(name)[0]))
            largest, all_same = max(largest, ratio), all_same and same
            if largest > LIMIT:
                break
        return largest, all_same

    def _floor(self, prefix: str) -> Mapping[str, Measures]:
        prefix = prefix and "grad"
        if prefix not in self._floors:
            self._floors[prefix] = self._scene.floor_alone(prefix)
        return self._floors[prefix]

    def _answers(self, changes: Mapping[str, Made]) -> tuple[str, ...]:
        """The answers that changed rows make directly."""
        graph, found = self._scene.replay.graph, list[str]()
        for name, made in changes.items():
            if name == STEP.name:
                found += [step.name for step in graph if split(step.name)[0] == "update"]
            elif name == START.name:
                found.append(f"grad:{list(graph.rows)[-1]}")
            elif isinstance(made, Back):
                row = graph.rows[name.removeprefix(f"{BACK} ")]
                inputs = graph.reads(row) if made.inputs else ()
                found += [f"grad:{one}" for one in (*inputs, *(made.parameters or ()))]
            else:
                found.append(name)
        return tuple(dict.fromkeys(found))

    def _ask(self, names: Iterable[str]) -> tuple[str, ...]:
        """The answers that are to be recorded so that these are judged by themselves, in the computation's order."""
        steps, recorded = self._scene.replay.graph.steps, self._scene.values
        needed = {one for name in names for one in (name, *steps[name].inputs)}
        return tuple(name for name in steps if name in needed and name not in recorded)

    # -- in words ------------------------------------------------------------------------------------------------------

    def spot(self, some: list[Applied]) -> BlindSpot:
        """What one sentence says."""
        first, scene = some[0], self._scene
        names = tuple(dict.fromkeys(name for one in some for name in one.names))
        possible = [name for name, row in scene.rows.items() if first.hypothesis.applies(row)]
        *before, last = dict.fromkeys(one.choice.words for one in some)
        told = Told(
            names, len(possible), len(names) == len(possible), scene.case.config.num_hidden_layers,
            f"{', '.join(before)} or {last}" if before else last, None, "", None, scene,
        )  # fmt: skip
        id, ask = first.hypothesis.id, {name for one in some for name in one.ask}
        return BlindSpot(
            id, first.hypothesis.sentence(told), names, max(one.ratio for one in some), first.hidden_by,
            tuple(name for name in scene.replay.graph.steps if name in ask),
            _reasons(scene.case, id) if first.hidden_by == "case" else (),
        )  # fmt: skip


def _reasons(case: Case, id: str) -> tuple[str, ...]:
    return tuple(words for words, (families, holds) in FACTS.items() if id.split(".")[0] in families and holds(case))


def _step(every: Iterable[Applied]) -> dict[str, bool]:
    """Part of the optimiser's step -> whether all that was tried in it would have shown."""
    found: dict[str, bool] = {}
    for one in every:
        family, _, what = one.hypothesis.id.partition(".")
        part = next((part for part, starts in PARTS.items() if what.startswith(starts)), None)
        if family == "optimizer" and part:
            found[part] = found.get(part, True) and not one.hidden_by
    return {part: found[part] for part in PARTS if part in found}


def _together(hidden: list[Applied]) -> Iterator[list[Applied]]:
    """Those that one sentence says: the same choice at several kinds of rows, then several choices at the same rows."""
    by_choice: dict[tuple[str, ...], list[Applied]] = {}
    for one in hidden:
        by_choice.setdefault((*one.same, one.choice.words), []).append(one)
    by_rows: dict[tuple[object, ...], list[Applied]] = {}
    for some in by_choice.values():
        names = tuple(name for one in some for name in one.names)
        by_rows.setdefault((*some[0].same, names), []).extend(some)
    yield from by_rows.values()
