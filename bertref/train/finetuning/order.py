"""In which order a run sees its units: a new permutation in every epoch, each unit once in each.

The permutation is a function of the seed and the epoch, so a resumed run goes on in the same order. The last batch of
an epoch holds what is left.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...rng import generator


@dataclass(frozen=True)
class Order:
    """`units` in batches of `batch_size`."""

    units: int
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.units // self.batch_size)

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """The units of a step, which counts from 0."""
        epoch, place = divmod(step, self.steps)
        found: npt.NDArray[np.int64] = _permutation(self.units, self.seed, epoch)[
            place * self.batch_size : (place + 1) * self.batch_size
        ]
        return found


@lru_cache(maxsize=2)
def _permutation(units: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return generator(seed, "data_order", step=epoch).permutation(units)
