"""Metrics that add up over batches: small, on the host, without dependencies beyond NumPy."""

from .mean import WeightedMean
from .unigram import unigram_loss

__all__ = ["WeightedMean", "unigram_loss"]
