"""Data: what every task has of a batch, and what pre-training makes of text (`pretraining`)."""

from .batch import Batch
from .prefetch import Prefetch

__all__ = ["Batch", "Prefetch"]
