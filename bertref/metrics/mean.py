"""A mean that is gathered batch by batch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError


@dataclass(frozen=True)
class WeightedMean:
    """Σ w x / Σ w as its two sums, in float64: what tf.metrics.mean and tf.metrics.accuracy keep between
    batches.

    Adding sums, and not averaging means, makes the result independent of how examples were cut into batches.
    Two of them add up with `+`, over workers for example.
    """

    total: float = 0.0
    weight: float = 0.0

    @classmethod
    def of(cls, values: ArrayLike, weights: ArrayLike | None = None) -> "WeightedMean":
        """From values (N,) and weights (N,), or 1 each. Elements of weight 0 don't count, even NaN.

        Raises `InputError` if the shapes differ or a weight is negative.
        """
        x = np.asarray(values, dtype=np.float64)
        w = np.ones(x.shape) if weights is None else np.asarray(weights, dtype=np.float64)
        if x.shape != w.shape:
            raise InputError(f"metric: values have shape {x.shape} and weights {w.shape}; they must agree")
        if np.any(w < 0):
            raise InputError("metric: a weight is negative")
        counted = w != 0
        return cls(math.fsum((x[counted] * w[counted]).tolist()), math.fsum(w[counted].tolist()))

    def __add__(self, other: "WeightedMean") -> "WeightedMean":
        return WeightedMean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self) -> float:
        """The mean; NaN if nothing was counted (TensorFlow says 0, which reads like a measurement)."""
        return self.total / self.weight if self.weight else math.nan
