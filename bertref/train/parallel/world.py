"""What the processes of a run say to each other.

All calls are collective: every process makes the same ones in the same order, and each returns when it has what it
needs of the others. Arrays are host arrays of one shape and type everywhere, contiguous and writable; where `takes`
says so, those of a device may be given to `all_reduce`, `reduce_scatter` and `all_gather`, too. Sums are the same bits
in every process and from run to run: their order follows from the ranks, and from how GPUs are connected.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

from ...arrays import Array

HostArray = npt.NDArray[Any]
T = TypeVar("T")


class Handle(Protocol):
    """Something that has been started and goes on by itself."""

    def wait(self) -> None:
        """Returns when it is done; of arrays of a GPU, when what is asked of the GPU next will come after it."""
        ...


class World(Protocol):
    """The processes that train one model together. `rank` is this one's number, from 0 to `size` - 1.

    Raises `ProcessLost` from any call if a process has ended.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...

    def takes(self, array: Array) -> bool:
        """Whether `all_reduce`, `reduce_scatter` and `all_gather` take arrays of this library and device."""
        ...

    def all_reduce(self, array: Array) -> Handle:
        """Replaces `array` by the sum over all processes; it may be read when the handle has been waited for."""
        ...

    def reduce_scatter(self, array: Array, part: Array) -> Handle:
        """Puts into `part` (n) of process r the sum over all processes of `array` (size * n) from r * n on; it may be
        read, and `array` changed, when the handle has been waited for."""
        ...

    def all_gather(self, array: Array) -> Handle:
        """Fills `array` (size * n), of which process r has made the n elements from r * n on, with those of the others;
        they may be read when the handle has been waited for."""
        ...

    def broadcast(self, array: HostArray) -> None:
        """Replaces `array` by that of process 0."""
        ...

    def collect(self, value: T) -> Sequence[T]:
        """The plain values (numbers, texts, lists, dicts) of all processes, by rank."""
        ...

    def barrier(self) -> None:
        """Returns when all processes have come here."""
        ...


class _Done:
    def wait(self) -> None:
        """At once."""


class Alone:
    """One process, which has all of a batch: nothing is sent, nothing is copied."""

    rank, size = 0, 1

    def takes(self, array: Array) -> bool:
        return True

    def all_reduce(self, array: Array) -> Handle:
        return _Done()

    def reduce_scatter(self, array: Array, part: Array) -> Handle:
        part[...] = array
        return _Done()

    def all_gather(self, array: Array) -> Handle:
        return _Done()

    def broadcast(self, array: HostArray) -> None:
        pass

    def collect(self, value: T) -> Sequence[T]:
        return [value]

    def barrier(self) -> None:
        pass


ALONE = Alone()
