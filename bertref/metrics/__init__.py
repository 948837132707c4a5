"""Figures of an evaluation: pure functions, on the host, without dependencies beyond NumPy."""

from .mean import WeightedMean
from .unigram import unigram_loss
from .value import Value

__all__ = ["Value", "WeightedMean", "unigram_loss"]
