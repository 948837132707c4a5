"""Memory that is used again.

The system gives large arrays fresh pages, and filling those with zeros takes as long as a kernel's own work on them.
So an array of `empty` takes its place in a segment, a large piece of memory that is kept, and its place is free again
when nobody refers to the array or a view of it any more. Free places side by side become one, so that what many small
arrays leave behind serves a large one; the smallest place that is large enough is taken.

A segment with nothing in it goes back to the system where another one is needed and all together would be more than
the arrays that were alive at one time once took.
"""

import threading
from bisect import bisect_left, insort
from collections import deque
from typing import Any, TypeAlias

import numpy as np

HostArray: TypeAlias = np.ndarray[Any, Any]

SMALLEST = 1 << 18
"""Bytes; what is smaller comes from the C library's heap, which reuses memory itself."""
SEGMENT = 1 << 28
"""Bytes of a segment, unless an array needs more: several of the largest arrays of a step. What no array has touched
takes no memory."""
ALIGNMENT = 64
"""A cache line, and the widest vector."""


class _Lease:
    """An array's hold on its place: the array's base, so it dies with the last view of it."""

    __slots__ = ("__array_interface__", "_blocks", "_place", "_segment")

    def __init__(
        self, blocks: "Blocks", place: tuple[int, int], segment: HostArray, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._blocks, self._place, self._segment = blocks, place, segment
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (place[0], False), "version": 3}

    def __del__(self) -> None:
        self._blocks.returned.append(self._place)


class Blocks:
    """Places for arrays. `used` bytes are lent, at most `peak` were; the segments have `reserved`."""

    def __init__(self) -> None:
        self.returned: deque[tuple[int, int]] = deque()  # appending needs no lock, so a lease may end anywhere
        self._segments: dict[int, HostArray] = {}  # by their first address
        self._free: list[tuple[int, int]] = []  # (size, address), sorted
        self._sizes: dict[int, int] = {}  # of the free places, by their first address
        self._starts: dict[int, int] = {}  # and where they start, by the address after their last
        self._lock = threading.Lock()
        self.used = self.reserved = self.peak = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
        """An array with whatever values the memory holds."""
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size < SMALLEST:
            return np.empty(shape, dtype)
        size += -size % ALIGNMENT
        with self._lock:
            address, segment = self._take(size)
        return np.asarray(_Lease(self, (address, size), segment, shape, dtype))

    def _take(self, size: int) -> tuple[int, HostArray]:
        """The first address of a place, and the segment that it is in."""
        while self.returned:
            self._give_back(*self.returned.popleft())
        self.used += size
        self.peak = max(self.peak, self.used)
        number = bisect_left(self._free, (size, 0))
        if number == len(self._free):
            self._reserve(size)
            number = bisect_left(self._free, (size, 0))
        available, address = self._free[number]
        self._remove(address)
        if available > size:
            self._insert(address + size, available - size)
        return address, self._segments[max(start for start in self._segments if start <= address)]

    def _give_back(self, address: int, size: int) -> None:
        """Together with the free places on either side, but never across segments."""
        self.used -= size
        end = address + size
        if end in self._sizes and end not in self._segments:
            size += self._remove(end)
        if address in self._starts and address not in self._segments:
            address = self._starts[address]
            size += self._remove(address)
        self._insert(address, size)

    def _insert(self, address: int, size: int) -> None:
        insort(self._free, (size, address))
        self._sizes[address], self._starts[address + size] = size, address

    def _remove(self, address: int) -> int:
        """The free place at the address is none any more; its size."""
        size = self._sizes.pop(address)
        del self._starts[address + size]
        del self._free[bisect_left(self._free, (size, address))]
        return size

    def _reserve(self, size: int) -> None:
        """Makes a segment for an array, and lets go of empty ones, the largest first, while there is too much."""
        for available, address in reversed(self._free.copy()):
            if self.reserved + size <= self.peak + SEGMENT:
                break
            if address in self._segments and available == _usable(self._segments[address]):
                self._remove(address)
                del self._segments[address]
                self.reserved -= available
        memory = np.empty(max(size, SEGMENT) + ALIGNMENT, np.uint8)
        address = -(-memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        self._segments[address] = memory
        self._insert(address, _usable(memory))
        self.reserved += _usable(memory)


def _usable(segment: HostArray) -> int:
    """Bytes of a segment from its first aligned address."""
    return segment.size - ALIGNMENT


BLOCKS = Blocks()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
    """An array with whatever values the memory holds, in a place that was used before where there is one."""
    return BLOCKS.empty(shape, dtype)


def in_place_of(x: HostArray) -> HostArray:
    """x itself, which its owner has given away, to write over; another array where x can't be written to row by row."""
    return x if x.flags.c_contiguous and x.flags.writeable else empty(x.shape, x.dtype)


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.memory: dict[int, HostArray] = {}


_scratch = _Scratch()


def scratch(number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
    """This thread's working array of that number: valid until the thread asks for the same number again."""
    size = dtype.itemsize
    for length in shape:
        size *= length
    memory = _scratch.memory.get(number)
    if memory is None or memory.size < size + ALIGNMENT:
        memory = _scratch.memory[number] = np.empty(size + size // 4 + ALIGNMENT, np.uint8)  # blocks differ by a row
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size].view(dtype).reshape(shape)
