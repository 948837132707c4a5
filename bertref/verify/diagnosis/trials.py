"""Hypotheses tried at one wrong tensor: which of them explain it, at which other tensors, and whether another case
agrees."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph.axes import kind, split
from ..graph.steps import Rewritten
from ..judgement.limit import LIMIT
from ..records import Fitted
from .fit import fitted, read
from .hypothesis import Hypothesis, Number, Possibility
from .scene import LEFT, Made, Scene, most_left
from .way_back import with_ways_back

SHARE = 0.1
"""Of the error, that a cause may leave at most. Larger: what only comes near to the subject's way is named."""
SAME = 1e-14
"""Of an answer's largest element: what float64 itself rounds. Who changes no more is the reference in other words, as
heads that begin elsewhere are where there is one head: it would explain float64's rounding."""
LARGEST = 1 << 16
"""Elements of an answer at which everything is tried right away. More: a large model's word embeddings take seconds a
try; of what was made by the same rows, as all updates are by the same step, smaller ones are asked first."""
FIRST = 4
"""So many of these that are wrong, and so many that are right."""


@dataclass(frozen=True)
class TriedHypothesis:
    """A hypothesis with its choice or number, the rows that it changes, what it explains there (the largest errors
    before and after, by name), how many rows it could have changed, and whether none of them contradicts it.
    `forward_alone`: the way back is the reference's all the same, as one that is written out by hand may be."""

    hypothesis: Hypothesis
    choice: Possibility
    number: Fitted | None
    names: tuple[str, ...]
    explained: Mapping[str, tuple[float, float]]
    possible: int
    everywhere: bool = False
    forward_alone: bool = False

    @property
    def freedom(self) -> int:
        """0: nothing is fitted; 1: a number that is a listed constant; 2: a number."""
        return 0 if self.number is None else 1 if self.number.known else 2

    @property
    def before(self) -> float:
        return max(before for before, _ in self.explained.values())

    @property
    def after(self) -> float:
        return max(after for _, after in self.explained.values())

    def value(self, scene: Scene) -> Any:
        """The choice or number, frozen; a constant is that of the scene's case."""
        if self.number is None:
            return self.choice.value
        free = self.hypothesis.number
        assert free is not None, "only a free number is fitted"
        return free.constants(scene)[self.number.known.split(" = ")[0]] if self.number.known else self.number.value

    def on(self, scene: Scene) -> Scene:
        """The scene in which it holds."""
        return scene.changed(self._rows(scene))

    def repaired(self, scene: Scene) -> tuple[Scene, set[str]]:
        """The scene in which it holds on the way back, too; and the names of rows whose way back isn't known then."""
        rows = self._rows(scene)
        if not rows:
            return scene, set()
        value, read = self.value(scene), self.hypothesis.parameters
        parameters = {} if read is None else self._holding(scene, rows, read(scene, value))
        unknown = set[str]()
        if self.forward_alone:
            rows = {
                name: replace(made, backward=(), parameters=None, weights=()) if isinstance(made, Rewritten) else made
                for name, made in rows.items()
            }  # fmt: skip
        else:
            rows, unknown = with_ways_back(scene, self.hypothesis, rows, value)
        changed = scene.changed(rows)
        return changed.with_parameters(parameters) if parameters else changed, unknown

    def _holding(self, scene: Scene, rows: Collection[str], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of parameters that are others, those that are known to be: of these rows, where another row is right as it
        is; else all, also of rows in which something else is wrong, too."""
        applies = [name for name, row in scene.rows.items() if self.hypothesis.applies(row) and name in scene.values]
        others = rewritten(scene, self.hypothesis, [name for name in applies if name not in rows], self.value(scene))
        if all(scene.ratio(name) > LEFT for name in others):
            return parameters
        own = {name for row in rows for name, _ in scene.rows[row].parameters}
        return {name: array for name, array in parameters.items() if name in own}

    def _rows(self, scene: Scene) -> dict[str, Made]:
        names = [name for name in self.names if name in scene.rows]
        return rewritten(scene, self.hypothesis, names, self.value(scene)) if names else {}

    def holds(self, scene: Scene, first: str) -> bool | None:
        """Whether it explains the same tensors of another case, to which nothing was fitted. None: it may, but what is
        wrong there is so little that this says nothing."""
        changed, names = self.on(scene), [name for name in self.explained if name in scene.values]
        if first not in names:
            return False
        before, after = (max(one.ratios(names).values()) for one in (scene, changed))
        return False if after > most_left(before) else True if after <= SHARE * before else None


def rewritten(
    scene: Scene, hypothesis: Hypothesis, names: Iterable[str], value: Any
) -> dict[str, Made]:
    """The rows of these names, as the hypothesis has them; without those that can't be computed so."""
    found = {name: hypothesis.make(scene, scene.rows[name], value) for name in names}
    return {name: made for name, made in found.items() if made is not None}


class Trials:
    """What may be wrong at `first`, an answer whose own step is wrong. `sizes` are the errors that the steps of all
    answers added, over rounding, by name; those of the first one's kind are looked at: forward answers, gradients or
    updates."""

    def __init__(self, scene: Scene, first: str, sizes: Mapping[str, float]) -> None:
        self._scene, self._first, self._sizes = scene, first, sizes
        self._spans = {name: scene.span(name) for name in sizes if split(name)[0] == split(first)[0]}
        self._fitted, self._before = self._smaller()

    def _smaller(self) -> tuple[str, list[str]]:
        """The answer to which a number is fitted, and those which a candidate must not leave wrong, before the first
        one is looked at."""
        values, first = self._scene.values, self._first
        if values[first].size <= LARGEST:
            return first, []
        small = [name for name, rows in self._spans.items()
                 if name != first and rows == self.inside and values[name].size <= LARGEST]  # fmt: skip
        small.sort(key=self._sizes.__getitem__, reverse=True)
        wrong, right = ([name for name in small if (self._sizes[name] > LIMIT) is so] for so in (True, False))
        return (wrong or [first])[0], [*wrong[:FIRST], *right[:FIRST]]

    @property
    def inside(self) -> set[str]:
        """The rows that may have made the first wrong answer."""
        return self._spans[self._first]

    def explaining(self, hypothesis: Hypothesis) -> Iterator[TriedHypothesis]:
        """The hypothesis in every form in which it explains the first wrong answer."""
        every = [name for name, row in self._scene.rows.items() if hypothesis.applies(row)]
        inside = [name for name in every if name in self._spans[self._first]]
        if not inside:
            return
        groups = [every]
        if len(inside) > 1 and not hypothesis.whole:
            groups += [[name for name in every if kind(name) == kind(one)] for one in inside]
        for group in groups:
            rows = [self._scene.rows[name] for name in inside if name in group]
            choices = {(one.words, one.value): one for row in rows for one in hypothesis.choices(self._scene, row)}
            for choice in choices.values():
                found = self._tried(hypothesis, choice, group)
                if found is not None:
                    yield found

    def _tried(self, hypothesis: Hypothesis, choice: Possibility, group: list[str]) -> TriedHypothesis | None:
        inside, number, value = [name for name in group if name in self._spans[self._first]], None, choice.value
        if hypothesis.number is not None:
            number = self._number(hypothesis, hypothesis.number, inside)
            if number is None:
                return None
            value = number.value
        changed, before = self._changed(hypothesis, inside, value), self._sizes[self._first]
        if any(changed.ratio(name) > LIMIT for name in self._before):
            return None
        if changed.ratio(self._first) > min(most_left(before), SHARE * before):
            return None
        if self._same(changed):
            return None
        groups = [group]
        if len(inside) == 1 and not hypothesis.whole:  # of several rows, those of each kind are tried by themselves
            groups.append([name for name in group if kind(name) == kind(inside[0])])
        for names in groups:
            found = self._scope(TriedHypothesis(hypothesis, choice, number, tuple(names), {}, len(names)))
            if found is not None and found.after <= SHARE * found.before:
                return found
        return None

    def _same(self, changed: Scene) -> bool:
        right = self._scene.replay(self._first)
        difference = np.max(np.abs(changed.replay(self._first) - right), initial=0.0)
        return bool(difference <= SAME * np.max(np.abs(right), initial=0.0))

    def _number(self, hypothesis: Hypothesis, free: Number, inside: list[str]) -> Fitted | None:
        if free.read is not None:
            return read(free, self._scene, [self._scene.rows[name] for name in inside])
        return fitted(free, lambda at: self._changed(hypothesis, inside, at), self._scene, self._fitted)

    def _changed(self, hypothesis: Hypothesis, names: list[str], value: Any) -> Scene:
        return self._scene.changed(rewritten(self._scene, hypothesis, names, value))

    def _scope(self, candidate: TriedHypothesis) -> TriedHypothesis | None:
        """The candidate at the rows where it explains what is wrong, and harms nothing that is right."""
        rows = rewritten(self._scene, candidate.hypothesis, list(candidate.names), candidate.value(self._scene))
        kept, group = rows.keys() & set().union(*self._spans.values()), candidate.hypothesis.together
        possible = len(kept)
        while kept:
            changed = self._scene.changed({name: rows[name] for name in kept})
            touched = changed.ratios(name for name, inside in self._spans.items() if inside & kept)
            explained = {
                name: (self._sizes[name], after)
                for name, after in touched.items()
                if (self._sizes[name] > LIMIT or name == self._first) and after <= most_left(self._sizes[name])
            }
            bad = [name for name, after in touched.items() if name not in explained and after > LIMIT]
            if not bad:
                if self._first not in explained:
                    return None
                seen = kept & set().union(*(self._spans[name] for name in explained))
                shown = {group(self._scene.rows[name]) for name in seen}  # what is right both ways proves nothing
                names = tuple(n for n in candidate.names if n in kept and group(self._scene.rows[n]) in shown)
                names = self._needed(names, rows, explained)
                everywhere = len(kept) == possible
                return replace(candidate, names=names, explained=explained, possible=possible, everywhere=everywhere)
            dropped = {group(self._scene.rows[one]) for name in bad for one in self._spans[name] & kept}
            kept -= {name for name in kept if group(self._scene.rows[name]) in dropped}
        return None

    def _needed(
        self, names: tuple[str, ...], rows: Mapping[str, Made], explained: Mapping[str, tuple[float, float]]
    ) -> tuple[str, ...]:
        """Without rows that weren't recorded, where the others explain the same: the subject may not have these."""
        recorded = tuple(name for name in names if name in self._scene.values)
        if not 0 < len(recorded) < len(names):
            return names
        changed = self._scene.changed({name: rows[name] for name in recorded})
        enough = all(changed.ratio(name) <= most_left(before) for name, (before, _) in explained.items())
        return recorded if enough else names
