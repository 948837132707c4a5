"""Calibration: one temperature for a classifier's logits, folded into its weights.

    T = argmin mean over the development part of -log softmax(x/T)[label]

Dividing the classifier's weight and bias by T divides its logits, so whoever opens the model gets the calibrated
probabilities, and no prediction changes. In 1/T the mean is convex: its derivative

    d/d(1/T) = mean of Σ_c softmax(x/T)_c x_c - x_label

rises, so the T where it is 0 is found by halving an interval of log T. A T at the interval's end is no fit: a few
examples that are all right, or all wrong, say nothing of how sure a model may be.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

LOWEST, HIGHEST = 1 / 64, 64.0
"""Between these T is looked for; where everything is right, or nothing is, it is at the end."""
HALVINGS = 60


def fitted_temperature(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Logits (N, K) and the right classes (N,) -> T."""
    low, high = math.log(LOWEST), math.log(HIGHEST)
    right = logits[np.arange(len(labels)), labels]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        scaled = logits / math.exp(middle)
        p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        expected = (p * logits).sum(axis=1) / p.sum(axis=1)
        # above 0: the logits are too long for what they get right, and T has to rise
        low, high = (middle, high) if float(np.mean(expected - right)) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def is_at_an_end(temperature: float) -> bool:
    """Whether no temperature fits: the loss still falls where the interval ends."""
    return any(math.isclose(temperature, end, rel_tol=1e-9) for end in (LOWEST, HIGHEST))


def calibrated(weights: Mapping[str, npt.NDArray[Any]], temperature: float) -> dict[str, npt.NDArray[Any]]:
    """The model's weights with the temperature in its classifier."""
    folded = ("classifier.weight", "classifier.bias")
    return {n: (a / temperature).astype(a.dtype) if n in folded else a for n, a in weights.items()}
