"""Metrics that add up over batches: small, on the host, without dependencies beyond NumPy."""

from .mean import WeightedMean
from .pretraining import PretrainingMetrics
from .unigram import unigram_loss

__all__ = ["PretrainingMetrics", "WeightedMean", "unigram_loss"]
