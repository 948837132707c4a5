"""What sums are made of."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from ..graph.steps import Graph
from ..records import Arrays
from .measures import Measures, binned, gains_of_rounding, size_blocks
from .truth import Truth


class Terms:
    """The squared terms that a sum adds up: what its rounding is in proportion to, however much of them cancels.

    A gradient of exactly 0, as that of a softmax over a single key is, and a channel that happens to be small have the
    rounding of their terms all the same, and in a few samples it can be small there by chance. Steps that `names` lack
    are gone through: an implementation rounds them, too, whoever records them or not.
    """

    def __init__(self, truth: Truth, names: Collection[str]) -> None:
        self._truth, self._names = truth, names
        self._graph = Graph(truth.case, _Squares(truth.params))

    def __call__(self, name: str) -> Measures | None:
        """Their mean, block by block, and what drifts along the answer are for independent errors of their size; None
        for an answer that isn't a sum."""
        step = self._graph.steps[name]
        whole = all(one in self._names for one in step.inputs)
        # elementwise steps are judged value by value; a parameter's gradient of recorded factors has many terms
        if step.terms is None or step.along or (whole and self._graph.axes(name).counts is None):
            return None
        squares, axes, right = self.squares(name), self._graph.axes(name), self._truth(name)
        bins = {m: value for m, value in binned(np.sqrt(squares), None, axes, right).items() if m == "bin"}
        return size_blocks(squares, axes) | bins | gains_of_rounding(right, squares)

    def squares(self, name: str) -> Any:
        """The sum of them at every element of an answer; its own square if it is none."""
        step = self._graph.steps[name]
        if step.terms is None:
            return np.square(self._truth(name))
        inputs = (np.square(self._truth(one)) if one in self._names else self.squares(one) for one in step.inputs)
        return self._graph.axes(name).clean(step.terms(*inputs))


class _Squares(Mapping[str, Any]):
    """The squares of parameters, made when they are looked at."""

    def __init__(self, params: Arrays) -> None:
        self._params = params

    def __getitem__(self, name: str) -> Any:
        return np.square(self._params[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)
