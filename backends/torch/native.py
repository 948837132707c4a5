"""What dropout keeps, drawn by torch's own generator: a `bertref.dropout.DrawnDropout` that makes no promise beyond its
device.

The generator begins anew for each place in the network, from a digest of the run's seed, the place, the step and the
batch's examples. So the same decisions come whenever the same are asked for: in a resumed run, and where a layer is
computed again. Another batch, another part of a batch, another device or version of torch has others.
"""

import hashlib
from typing import Any

import numpy as np
import torch

from ...arrays import Array

LANES = 1 << 16
"""A threshold is in 65536ths."""


class NativeDropout:
    """The decisions for one batch in one step. `examples` (B) and `mask` (B, S) are host arrays; `packed`: hidden
    states have rows for real tokens only."""

    def __init__(self, device: torch.device, seed: int, step: int, examples: Any, mask: Any, packed: bool) -> None:
        self._device, self._shape = device, mask.shape
        self._tokens = int(mask.sum()) if packed else mask.size
        numbers = [seed % 2**64, step, *(int(example) % 2**64 for example in examples)]
        self._batch = np.array(numbers, np.uint64).tobytes()

    def hidden(self, stream: int, threshold: int, width: int) -> Array:
        """keep (T, width), or (B*S, width) where the layout is not packed."""
        return self._kept(self._start(stream), threshold, (self._tokens, width))

    def first(self, stream: int, threshold: int, width: int) -> Array:
        """keep (B, width), for one vector a sequence."""
        return self._kept(self._start(stream), threshold, (self._shape[0], width))

    def probs(self, stream: int, threshold: int, heads: int) -> Array:
        """keep (B, A, S, S)."""
        B, S = self._shape
        return self._kept(self._start(stream), threshold, (B, heads, S, S))

    def _start(self, stream: int) -> int:
        """Where the generator begins at a place, in [0, 2**63)."""
        digest = hashlib.blake2b(self._batch + stream.to_bytes(8, "little"), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1

    def _kept(self, start: int, threshold: int, shape: tuple[int, ...]) -> Array:
        generator = torch.Generator(self._device).manual_seed(start)
        keep = torch.empty(shape, dtype=torch.bool, device=self._device)
        return keep.bernoulli_(1.0 - threshold / LANES, generator=generator)
