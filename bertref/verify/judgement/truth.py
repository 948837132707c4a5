"""The right answers of a case, of which every error is a difference."""

from collections.abc import Collection
from copy import copy
from threading import RLock
from typing import Any

from ...optim import Optimizer
from ..emulation.simulate import held_params
from ..graph.replay import Replay
from ..graph.steps import Graph
from ..records import Case
from .measures import mean_square

LARGE = 50_000_000
"""From so many parameters on, two samples are enough, because every block has thousands of elements, and threads pay.
Larger: BERT-Base takes three times as long."""

class Truth:
    """The right answers of a case for weights as a precision holds them, `wide` ones as they are, made when they are
    asked for."""

    def __init__(self, case: Case, precision: str, wide: Collection[str] = ()) -> None:
        self.case, self.precision = case, precision
        self.params = held_params(case, precision, wide)
        self.graph = Graph(case, self.params)
        self._replay = Replay(self.graph, {})
        self._making = RLock()

    def __call__(self, name: str) -> Any:
        with self._making:  # whoever comes second finds it made
            return self._replay(name)

    def with_optimizer(self, optimizer: Optimizer) -> "Truth":
        """The same answers, with the updates of another optimiser."""
        with self._making:
            other = copy(self)
            other._replay = self._replay.with_optimizer(optimizer)
        return other

    @property
    def large(self) -> bool:
        """Whether its arrays are so large that threads pay."""
        return sum(p.size for p in self.case.params.values()) >= LARGE

    def size(self, name: str) -> float:
        """Mean square of an answer where it counts. The key bias can't change anything: its gradient, 0, is as exact
        as the query bias's is, and so it has that one's size."""
        scale = name.replace(".key.bias", ".query.bias")
        return mean_square(self(scale), self.graph.axes(scale))
