"""Sequences through a model in batches, and several processes that share the batches.

Every process asks the same of the same model. Process r of N computes every Nth batch from r on, and all get the rows
of all: the bits of one process, because the batches are.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from ..text.encoding import Encoding
from .loaded import Loaded, by_length, each_part

T = TypeVar("T")


class Team(Protocol):
    """The processes that answer together, as `train.parallel.world.World` is."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def collect(self, value: T) -> Sequence[T]: ...


def answered(
    encodings: Sequence[Encoding],
    work: Callable[[list[Encoding]], Iterable[Any]],
    team: Team | None = None,
    *,
    parts_of: Loaded | None = None,
) -> list[Any]:
    """What `work` makes of each sequence, in their order; it gets a batch at a time, sequences of like length, and
    returns a value for each. With a team values are plain or host arrays.

    `parts_of` is the model where its threads may take batches of their own (`each_part`): where `work` wants no more
    than the pooled output.
    """
    own: dict[int, Any] = {}
    rank, size = (0, 1) if team is None else (team.rank, team.size)

    def answer(some: list[int]) -> None:
        own.update(zip(some, work([encodings[i] for i in some]), strict=True))

    if parts_of is not None:
        each_part(parts_of, encodings, answer, rank=rank, size=size)
    else:
        for some in itertools.islice(by_length(encodings), rank, None, size):
            answer(some)
    found: dict[int, Any] = {}
    for part in [own] if team is None else team.collect(own):
        found |= part
    return [found[i] for i in range(len(encodings))]
