"""Processes of a run as threads of one process: the same calls, without a network. Arrays are NumPy's or, unless
`takes` is replaced, torch's on the CPU, too.

An array that is being added up holds NaN until it is waited for, so that nobody who reads too early goes unnoticed.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from bertref.errors import ProcessLost
from bertref.train.parallel.world import Handle, HostArray

T = TypeVar("T")
PATIENCE = 120


class Meeting:
    """Where the threads leave what they give each other, by the number of the call."""

    def __init__(self, size: int) -> None:
        self.size, self.changed = size, threading.Condition()
        self.left: defaultdict[int, dict[int, Any]] = defaultdict(dict)
        self.ended: set[int] = set()

    def leave(self, call: int, rank: int, value: Any) -> None:
        with self.changed:
            self.left[call][rank] = value
            self.changed.notify_all()

    def end(self, rank: int) -> None:
        with self.changed:
            self.ended.add(rank)
            self.changed.notify_all()

    def all(self, call: int) -> list[Any]:
        left = self.left[call]
        with self.changed:
            while len(left) < self.size:
                if self.ended - left.keys():
                    raise ProcessLost("another thread has ended")
                assert self.changed.wait(PATIENCE), "a thread makes other calls than the others"
        return [left[rank] for rank in range(self.size)]


class ThreadWorld:
    """`World` for one of the threads."""

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self._meeting, self.rank, self.size, self.calls = meeting, rank, meeting.size, 0

    def _leave(self, value: Any) -> Callable[[], list[Any]]:
        call, self.calls = self.calls, self.calls + 1
        self._meeting.leave(call, self.rank, value)
        return lambda: self._meeting.all(call)

    def _memory(self, array: Any) -> HostArray:
        """The array's, as NumPy's; only of what is taken, or of the host."""
        assert isinstance(array, np.ndarray) or self.takes(array), "a device's array, which is not taken"
        return np.asarray(array)

    def takes(self, array: Any) -> bool:
        return isinstance(array, np.ndarray | torch.Tensor)

    def all_reduce(self, array: Any) -> Handle:
        array = self._memory(array)
        everyone = self._leave((array.shape, array.dtype, array.copy()))
        array[...] = np.nan
        return _Sum(array, everyone)

    def reduce_scatter(self, array: Any, part: Any) -> Handle:
        array, part = self._memory(array), self._memory(part)
        everyone = self._leave((part.shape, array.dtype, array.copy()))
        part[...] = np.nan
        array[...] = np.nan
        rows = slice(self.rank * len(part), (self.rank + 1) * len(part))
        return _Sum(part, lambda: [(shape, dtype, given[rows]) for shape, dtype, given in everyone()])

    def all_gather(self, array: Any) -> Handle:
        array = self._memory(array)
        own = np.split(array, self.size)[self.rank].copy()
        array[...] = np.nan
        return _Parts(array, self._leave(own))

    def broadcast(self, array: HostArray) -> None:
        array[...] = self._leave(array.copy())()[0]

    def collect(self, value: T) -> Sequence[T]:
        return self._leave(value)()

    def barrier(self) -> None:
        self._leave(None)()


class _Parts:
    def __init__(self, array: HostArray, everyone: Callable[[], list[Any]]) -> None:
        self._array, self._everyone = array, everyone

    def wait(self) -> None:
        self._array[...] = np.concatenate(self._everyone())


class _Sum:
    def __init__(self, array: HostArray, everyone: Callable[[], list[Any]]) -> None:
        self._array, self._everyone = array, everyone

    def wait(self) -> None:
        given = self._everyone()
        assert all(shape == self._array.shape and dtype == self._array.dtype for shape, dtype, _ in given)
        total = given[0][2]
        for _, _, more in given[1:]:
            total = total + more
        self._array[...] = total


def together(size: int, work: Callable[[ThreadWorld], T]) -> list[T]:
    """What `work` returns in each of so many processes, by rank. Raises what the first of those that failed by itself
    raised."""
    found = attempts(size, work)
    failures = sorted((f for f in found if isinstance(f, BaseException)), key=lambda f: isinstance(f, ProcessLost))
    if failures:
        raise failures[0]
    return found  # type: ignore[return-value]


def attempts(size: int, work: Callable[[ThreadWorld], T]) -> list[T | BaseException]:
    """What `work` returns or raises in each of so many processes. One that fails has ended, as a process would."""
    meeting = Meeting(size)

    def attempt(rank: int) -> T | BaseException:
        try:
            return work(ThreadWorld(meeting, rank))
        except BaseException as error:
            return error
        finally:
            meeting.end(rank)

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(attempt, range(size)))
