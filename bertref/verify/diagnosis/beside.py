"""A wrong tensor beside the one that its step should have made of the subject's own inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..graph.axes import Axes, split
from ..judgement.localise import BY_HEAD
from .scene import LEFT, Scene
from .trials import SHARE

Values = Any

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
    right. `before` is the error over rounding."""

    scene: Scene
    name: str
    axes: Axes
    right: Values
    found: Values
    inside: Values
    before: float

    @property
    def error(self) -> Values:
        return self.found - self.right

    @property
    def size(self) -> int:
        """How many elements are described."""
        return int(np.count_nonzero(self.inside))

    def only(self, inside: Values) -> "Beside":
        """The same, of which these elements alone are described."""
        return replace(self, inside=self.inside & inside)

    def left(self, made: Values) -> float:
        """The share of the error that is left with `made` for what is right, as a relative L2 error."""
        error, other = (np.where(self.inside, self.found - one, 0.0) for one in (self.right, made))
        return float(np.sqrt(np.sum(np.square(other)) / np.sum(np.square(error))))

    def explained(self, made: Values) -> bool:
        """Whether the step would be right to rounding if `made` were right, as closely as of a cause."""
        if not self.left(made) <= SHARE:
            return False
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
    axes, right, before = scene.replay.graph.axes(name), scene.replay(name), scene.ratio(name)
    found = axes.clean(np.asarray(scene.values[name], np.float64))
    if not (np.isfinite(found).all() and np.isfinite(right).all() and np.any(found != right)):
        return None
    inside = np.ones(right.shape, bool) if axes.counts is None else np.asarray(axes.counts)
    return Beside(scene, name, axes, right, found, inside, before)
