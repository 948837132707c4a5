"""Memory that is used again.

The system gives large arrays fresh pages, and filling those with zeros takes as long as a kernel's own work on them.
So an array of `empty` takes its memory from a block that an earlier one has left behind, and gives it back when nobody
refers to the array or a view of it any more.

All blocks together never take more memory than the arrays that were alive at one time once did.
"""

import threading
from collections import deque
from typing import Any, TypeAlias

import numpy as np

HostArray: TypeAlias = np.ndarray[Any, Any]

SMALLEST = 1 << 18
"""Bytes; what is smaller comes from the C library's heap, which reuses memory itself."""
ALIGNMENT = 64
"""A cache line, and the widest vector."""


class _Lease:
    """An array's hold on its block: the array's base, so it dies with the last view of it."""

    __slots__ = ("__array_interface__", "_block", "_blocks")

    def __init__(self, blocks: "Blocks", block: HostArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._blocks, self._block = blocks, block
        address = -(-block.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (address, False), "version": 3}

    def __del__(self) -> None:
        self._blocks.returned.append(self._block)


class Blocks:
    """Blocks of a few sizes, lent and taken back; `used` and `free` are bytes, `peak` the most that was lent."""

    def __init__(self) -> None:
        self.returned: deque[HostArray] = deque()  # appending needs no lock, so a lease may end anywhere
        self._free: dict[int, list[HostArray]] = {}
        self._lock = threading.Lock()
        self.used = self.free = self.peak = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
        """An array with whatever values the memory holds."""
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size < SMALLEST:
            return np.empty(shape, dtype)
        return np.asarray(_Lease(self, self._take(_rounded(size)), shape, dtype))

    def _take(self, size: int) -> HostArray:
        with self._lock:
            while self.returned:
                block = self.returned.popleft()
                self._free.setdefault(block.size, []).append(block)
                self.used -= block.size
                self.free += block.size
            self.used += size
            self.peak = max(self.peak, self.used)
            if self._free.get(size):
                self.free -= size
                return self._free[size].pop()
            while self.used + self.free > self.peak:
                self._drop()
        return np.empty(size, np.uint8)

    def _drop(self) -> None:
        """Gives a block of the largest size back to the system."""
        size = max(size for size, blocks in self._free.items() if blocks)
        self._free[size].pop()
        self.free -= size


def _rounded(size: int) -> int:
    """The size of the block for an array: at most a quarter more, so that similar arrays share their blocks, and only
    the alignment more for arrays of a round size, as those of a model are."""
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step + ALIGNMENT


BLOCKS = Blocks()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
    """An array with whatever values the memory holds, from a block that was used before where there is one."""
    return BLOCKS.empty(shape, dtype)


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
        memory = _scratch.memory[number] = np.empty(_rounded(size), np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size].view(dtype).reshape(shape)
