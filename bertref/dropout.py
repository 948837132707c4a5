"""Which elements dropout keeps: one definition for every backend, layout and number of workers.

Each site of the network and each example draws from its own block of random words (`bertref.rng`): key = (seed,
stream of the site), counter = (0, step, example's global number, 0). A 64-bit word is four 16-bit lanes, lowest
first; lane j decides element j of that example's real tokens in row-major order:

    hidden states              (length, H)
    attention probabilities    (A, length, length)

An element is kept if its lane >= round(65536 p), and scaled by 65536 / (65536 - round(65536 p)), the exact inverse of
the kept share. Padding draws nothing, so padded and packed batches, chunks of a batch and shards drop the same
elements.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from .arrays import Array, Namespace
from .rng import philox, stream

POOLER_SITE = -1
EMBEDDINGS_SITE = 0
HEAD_SITE = 1
FEW = 1 << 16
"""Decisions for an example up to which drawing them takes less time than handing over the interpreter's lock."""


def layer_site(layer: int) -> int:
    """The first of a layer's three sites: probabilities, attention output (+1), feed-forward output (+2)."""
    return 2 + 3 * layer


def threshold(probability: float) -> int:
    """Lanes below this are dropped."""
    return round(65536 * probability)


def scale(probability: float) -> float:
    """What kept elements are multiplied by."""
    return 65536 / (65536 - threshold(probability))


def kept(seed: int, site: int, step: int, example: int, count: int, probability: float) -> np.ndarray:
    """The first `count` decisions (boolean) of one example at one site in one step."""
    words = philox(seed, stream("dropout", site), step, example).random_raw(-(-count // 4))
    lanes = words.astype("<u8", copy=False).view("<u2")[:count]
    return np.asarray(lanes >= threshold(probability))


RNGS = ("reference", "native")
"""Whose random numbers decide: those defined here, or those of the device's own generator, which are made faster there
and are others on every backend (`OpSet.drawing`)."""


class DrawnDropout(Protocol):
    """The decisions for one batch in one step, made where they are needed: of `Backend.draw` the same as here, to the
    bit. `stream` is that of the site; shapes are those of `Dropout`'s methods. Asked again, it answers the same."""

    def hidden(self, stream: int, threshold: int, width: int) -> Array: ...
    def first(self, stream: int, threshold: int, width: int) -> Array: ...
    def probs(self, stream: int, threshold: int, heads: int) -> Array: ...


@dataclass(frozen=True)
class Dropout:
    """Makes the `keep` masks of one batch in one step. `mask` (B, S) and `examples` (B) are host arrays; `share`
    are the threads that may make them (`Backend.share`), unless the device does: `draw(seed, step, examples, mask,
    packed)` (`OpSet.drawing`)."""

    xp: Namespace
    seed: int
    step: int
    examples: np.ndarray
    mask: np.ndarray
    packed: bool
    hidden_prob: float
    probs_prob: float
    share: Callable[[Callable[[int], None], int], None] | None = None
    draw: Callable[[int, int, np.ndarray, np.ndarray, bool], DrawnDropout] | None = None

    @cached_property
    def _drawn(self) -> DrawnDropout | None:
        """Who decides on the device; None where the host does."""
        if self.draw is None or not len(self.examples):
            return None
        return self.draw(self.seed, self.step, self.examples, self.mask, self.packed)

    @property
    def hidden_scale(self) -> float:
        return scale(self.hidden_prob)

    @property
    def probs_scale(self) -> float:
        return scale(self.probs_prob)

    def hidden(self, site: int, width: int) -> Array | None:
        """keep (T, width) for hidden states, or None if nothing is dropped."""
        if threshold(self.hidden_prob) == 0:
            return None
        if self._drawn:
            return self._drawn.hidden(stream("dropout", site), threshold(self.hidden_prob), width)
        bounds = np.cumsum([0, *self.mask.sum(axis=1)]).tolist()
        rows = np.empty((bounds[-1], width), bool)

        def draw(b: int) -> None:
            start, end = bounds[b : b + 2]
            rows[start:end] = self._kept(b, site, self.hidden_prob, end - start, width)

        self._each_example(draw, rows.size)
        if self.packed or len(rows) == self.mask.size:
            return self.xp.from_numpy(rows)
        keep = np.zeros((*self.mask.shape, width), bool)
        keep[self.mask] = rows
        return self.xp.from_numpy(keep.reshape(-1, width))

    def first(self, site: int, width: int) -> Array | None:
        """keep (B, width) for one vector a sequence: the heads'."""
        if threshold(self.hidden_prob) == 0:
            return None
        if self._drawn:
            return self._drawn.first(stream("dropout", site), threshold(self.hidden_prob), width)
        keep = [self._kept(b, site, self.hidden_prob, 1, width) for b in range(len(self.examples))]
        return self.xp.from_numpy(np.concatenate(keep) if keep else np.zeros((0, width), bool))

    def probs(self, site: int, heads: int) -> Array | None:
        """keep (B, A, S, S) for attention probabilities, or None if nothing is dropped."""
        if threshold(self.probs_prob) == 0:
            return None
        if self._drawn:
            return self._drawn.probs(stream("dropout", site), threshold(self.probs_prob), heads)
        B, S = self.mask.shape
        keep = np.zeros((B, heads, S, S), bool)

        def draw(b: int) -> None:
            real = self.mask[b]
            length = int(real.sum())
            drawn = self._kept(b, site, self.probs_prob, heads, length, length)
            if real[:length].all():
                keep[b, :, :length, :length] = drawn
            else:
                keep[b][:, np.outer(real, real)] = drawn.reshape(heads, -1)

        self._each_example(draw, keep.size)
        return self.xp.from_numpy(keep)

    def _each_example(self, draw: Callable[[int], None], decisions: int) -> None:
        """Calls `draw` for every example of the batch, several at once where that pays."""
        if self.share is not None and decisions > FEW * len(self.examples):
            self.share(draw, len(self.examples))
            return
        for b in range(len(self.examples)):
            draw(b)

    def _kept(self, row: int, site: int, probability: float, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        return kept(self.seed, site, self.step, int(self.examples[row]), count, probability).reshape(shape)
