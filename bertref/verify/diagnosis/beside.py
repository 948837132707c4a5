"""A wrong tensor beside the one that its step should have made of the subject's own inputs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..graph.axes import Axes, split
from ..judgement.localise import BY_HEAD
from .scene import LEFT, Scene
from .trials import SHARE

Values = Any
Found = TypeVar("Found")

LARGEST = 1 << 22
"""Elements of a table that are all looked at, for whatever it may be. More, as a large model's word embeddings have:
first a sample of its rows, since each look makes several copies of what is looked at."""
SAMPLED = 1 << 19
"""Elements of that sample, about."""
EACH = 8
"""Elements for each number that is fitted, at least. Fewer: chance is described."""


class Grouping(NamedTuple):
    """How elements belong together: what a group is called, the shape in which it has axes of its own, these axes."""

    label: str
    shape: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def number(self) -> int:
        """How many groups there are."""
        return int(np.prod([self.shape[axis] for axis in self.kept]))

    def sums(self, x: Values) -> Values:
        """Over each group, in a shape that broadcasts to `shape`."""
        others = tuple(axis for axis in range(len(self.shape)) if axis not in self.kept)
        return x.reshape(self.shape).sum(axis=others, keepdims=True)


@dataclass(frozen=True)
class Beside:
    """`right` and `found`, 0 where nothing is asked; `inside` are the elements that are described, all others are
    right. `before` is the error over rounding. `rows` are the only ones of a table that are here; None: all are."""

    scene: Scene
    name: str
    axes: Axes
    right: Values
    found: Values
    inside: Values
    before: float
    rows: Values | None = None

    @property
    def error(self) -> Values:
        return self.found - self.right

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole tensor's."""
        return self.axes.shape

    @property
    def size(self) -> int:
        """How many elements are described."""
        return int(np.count_nonzero(self.inside))

    def only(self, inside: Values) -> "Beside":
        """The same, of which these elements alone are described."""
        return replace(self, inside=self.inside & inside)

    def sampled(self) -> "Beside":
        """Some rows of a large table: each so-and-so-many-th one, and those of the words that occur; else itself."""
        if self.rows is not None or self.right.ndim != 2 or self.right.size <= LARGEST:
            return self
        step = max(self.right.size // SAMPLED, 1)
        words = self.scene.case.batch.input_ids if self.axes.names[0] == "word" else np.arange(0)
        rows = np.union1d(np.arange(0, len(self.right), step), words)
        return replace(self, right=self.right[rows], found=self.found[rows], inside=self.inside[rows], rows=rows)

    def cut(self, value: Values) -> Values:
        """Of another table's values, those of the rows that are here."""
        return value if self.rows is None else value[self.rows]

    def seen_as(self, look: Callable[["Beside"], Found | None]) -> Found | None:
        """What a look at it finds; at a large table only if it finds something in a sample of its rows, too."""
        sample = self.sampled()
        found = look(sample)
        return found if sample is self or found is None else look(self)

    def left(self, made: Values) -> float:
        """The share of the error that is left with `made` for what is right, as a relative L2 error."""
        error, other = (np.where(self.inside, self.found - one, 0.0) for one in (self.right, made))
        size = float(np.sum(np.square(error)))
        return float(np.sqrt(np.sum(np.square(other)) / size)) if size else np.inf

    def explained(self, made: Values) -> bool:
        """Whether the step would be right to rounding if `made` were right, as closely as of a cause. Of a sample:
        whether little is left."""
        if not self.left(made) <= SHARE:
            return False
        if self.rows is not None:
            return True
        after = self.scene.making(self.name, np.where(self.inside, made, self.found)).ratio(self.name)
        return after <= min(LEFT, SHARE * self.before)

    def groupings(self) -> Iterator[Grouping]:
        """By each axis, by token, by head; those of few groups first."""
        shape, names = self.right.shape, self.axes.names
        found = [Grouping(label, shape, (axis,)) for axis, label in enumerate(names)]
        if names[:2] == ("row", "position"):
            found.append(Grouping("token", shape, (0, 1)))
        if names[-1:] == ("channel",) and split(self.name)[1].rsplit(".", 1)[-1] in BY_HEAD:
            config = self.scene.case.config
            heads = (*shape[:-1], config.num_attention_heads, config.head_size)
            found.append(Grouping("head", heads, (len(shape) - 1,)))
        yield from sorted((one for one in found if one.number > 1), key=lambda one: one.number)

    def fits(self, numbers: int) -> bool:
        """Whether there is enough to fit so many numbers to."""
        return self.size >= EACH * numbers


def beside(scene: Scene, name: str) -> Beside | None:
    """None: it is right, or not finite."""
    axes, right, before, found = scene.replay.graph.axes(name), scene.replay(name), scene.ratio(name), scene.found(name)
    if not (np.isfinite(found).all() and np.isfinite(right).all() and np.any(found != right)):
        return None
    inside = np.ones(right.shape, bool) if axes.counts is None else np.asarray(axes.counts)
    return Beside(scene, name, axes, right, found, inside, before)
