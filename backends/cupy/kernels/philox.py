"""What dropout keeps, drawn on the device: the decisions that `bertref.dropout` defines, to the bit.

Nothing of a mask's size passes the host: a batch sends its examples' numbers and lengths, once a step.
"""

from typing import Any

import numpy as np

from ....arrays import Array
from .device import Device, Shape, ceil_div

OF_A_BLOCK = 16
"""Of philox.cu: decisions in a block of words."""
WORD = 2**64


class Drawn:
    """The decisions for one batch in one step. `examples` (B) and `mask` (B, S) are host arrays; `packed`: hidden
    states have rows for real tokens only."""

    def __init__(self, device: Device, seed: int, step: int, examples: Any, mask: Any, packed: bool) -> None:
        lengths = mask.sum(axis=1)
        firsts = np.cumsum(lengths) - lengths
        numbers = np.stack([np.asarray(a).astype(np.int64) for a in (examples, lengths, firsts)])
        self._device, self._packed, self._shape = device, packed, mask.shape
        self._seed, self._step = seed, step
        self._tokens, self._longest = int(lengths.sum()), int(lengths.max(initial=0))
        self._examples, self._lengths, self._firsts = device.library.asarray(numbers)
        self._places = device.library.asarray(np.flatnonzero(mask))

    def hidden(self, stream: int, threshold: int, width: int) -> Array:
        """keep (T, width), or (B*S, width) where the layout is not packed."""
        rows = self._tokens if self._packed else self._shape[0] * self._shape[1]
        keep = self._nothing_kept((rows, width))
        places = None if self._packed else self._places
        self._hidden(keep, self._longest, (self._lengths, self._firsts, places), stream, threshold)
        return keep

    def first(self, stream: int, threshold: int, width: int) -> Array:
        """keep (B, width), for one vector a sequence."""
        B, library = self._shape[0], self._device.library
        keep = self._nothing_kept((B, width))
        numbers = library.ones(B, dtype=np.int64), library.arange(B, dtype=np.int64), None
        self._hidden(keep, 1, numbers, stream, threshold)
        return keep

    def probs(self, stream: int, threshold: int, heads: int) -> Array:
        """keep (B, A, S, S)."""
        B, S = self._shape
        keep = self._nothing_kept((B, heads, S, S))
        numbers = keep, self._examples, self._lengths, self._firsts, self._places, np.int32(heads), np.int32(S)
        self._launch("keep_probs", heads * self._longest**2, numbers, stream, threshold)
        return keep

    def _hidden(self, keep: Array, longest: int, numbers: tuple[Any, ...], stream: int, threshold: int) -> None:
        width = keep.shape[1]
        arguments = keep, self._examples, *numbers, np.int64(width)
        self._launch("keep_hidden", longest * width, arguments, stream, threshold)

    def _launch(self, kernel: str, longest: int, arguments: tuple[Any, ...], stream: int, threshold: int) -> None:
        """`longest`: the most decisions of an example."""
        threads = self._device.tuning.philox_threads
        blocks = ceil_div(longest, OF_A_BLOCK * threads)
        if blocks and self._shape[0]:
            address = (np.uint64(number % WORD) for number in (self._seed, stream, self._step))
            shape = Shape((self._shape[0], blocks), (threads, 1))
            self._device.launch("philox", kernel, shape, *arguments, *address, np.int32(threshold))

    def _nothing_kept(self, shape: tuple[int, ...]) -> Array:
        return self._device.library.zeros(shape, dtype=bool)
