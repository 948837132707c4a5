"""Random streams: one definition for every backend, layout and number of workers.

The generator is Philox4x64-10 as `numpy.random.Philox` implements it (Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"). A draw is addressed, never sequential:

    key     = (seed, stream)             stream: what the numbers are for, from the table below
    counter = (0, step, example, 0)      word 0 counts the blocks of four 64-bit words

so any worker can make any number without making those before it, and the same run drops, masks and shuffles the same
elements whatever the hardware. (NumPy increments the counter before it makes a block: the first block has word 0 = 1.)
"""

import random
from typing import Any

import numpy as np

# The table is literal and only ever grows: a changed number changes every run that was ever made.
STREAMS = {
    "initial_weights": 1,  # step = number of the parameter in canonical order, example = 0
    "data_order": 2,  # step = pass over the corpus
    "sentence_pairing": 3,  # step = pass, example = number of the document
    "masking": 4,  # step = pass, example = number of the instance in its pass
    "held_out": 5,  # which documents are kept for evaluation
    "case": 6,  # verification cases and test inputs
    "dropout": 1_000_000,  # plus the site's: -1 pooler, 0 embeddings, 1 heads, then three a layer
}
WORD = 2**64


def stream(name: str, site: int = 0) -> int:
    """The stream number of a purpose; `site` only for dropout, where every place in the network has its own."""
    return STREAMS[name] + site


def philox(seed: int, stream_number: int, step: int = 0, example: int = 0) -> Any:
    """A `numpy.random.Philox` at the start of the block (step, example) of a stream."""
    # as uint64: NumPy would make floats of a list that mixes small numbers with those from 2**63 on
    counter = np.array([0, step % WORD, example % WORD, 0], dtype=np.uint64)
    key = np.array([seed % WORD, stream_number % WORD], dtype=np.uint64)
    return np.random.Philox(counter=counter, key=key)


def generator(seed: int, name: str, step: int = 0, example: int = 0) -> np.random.Generator:
    """NumPy's distributions on one block of one stream: for initial weights, permutations and test inputs."""
    return np.random.Generator(philox(seed, stream(name), step, example))


class StreamRandom(random.Random):
    """Python's `random.Random` (random, randint, shuffle, ...) drawing from one block of one stream.

    The algorithms that make pre-training data are written against `random.Random`, because the original is; given this
    class they become addressable, given `random.Random(12345)` they repeat the original's choices.
    """

    def __init__(self, seed: int, name: str, step: int = 0, example: int = 0) -> None:
        self._bits = philox(seed, stream(name), step, example)
        self._words: list[int] = []
        super().__init__(0)

    def seed(self, *_args: Any, **_kwargs: Any) -> None:
        """The address given to the constructor is the seed; there is nothing to reset."""

    def _word(self) -> int:
        if not self._words:
            self._words = self._bits.random_raw(64).tolist()[::-1]
        return self._words.pop()

    def random(self) -> float:
        """A float in [0, 1) from the top 53 bits of one word."""
        return (self._word() >> 11) * 2.0**-53

    def getrandbits(self, k: int, /) -> int:
        """The top k bits of one word, or of several words joined when k > 64."""
        if k <= 64:
            return self._word() >> (64 - k) if k else 0
        words = -(-k // 64)
        value = 0
        for _ in range(words):
            value = (value << 64) | self._word()
        return value >> (64 * words - k)
