"""Sequences through a model in batches, and several processes that share the batches.

Every process asks the same of the same model. Process r of N computes every Nth batch from r on, and all get the rows
of all: the bits of one process, because the batches are.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from ..text.encoding import Encoding
from .loaded import by_length

T = TypeVar("T")


class Team(Protocol):
    """The processes that answer together, as `train.parallel.world.World` is."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def collect(self, value: T) -> Sequence[T]: ...


def answered(
    encodings: Sequence[Encoding], work: Callable[[list[Encoding]], Iterable[Any]], team: Team | None = None
) -> list[Any]:
    """What `work` makes of each sequence, in their order; it gets a batch at a time, sequences of like length (see
    `by_length`), and returns a value for each. With a team values are plain or host arrays."""
    own: dict[int, Any] = {}
    for number, some in enumerate(by_length(encodings)):
        if team is None or number % team.size == team.rank:
            own |= zip(some, work([encodings[i] for i in some]), strict=True)
    found: dict[int, Any] = {}
    for part in [own] if team is None else team.collect(own):
        found |= part
    return [found[i] for i in range(len(encodings))]
