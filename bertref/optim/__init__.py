"""Optimisers, gradient clipping and learning-rate schedules: from gradients to the next parameters."""

from .accumulate import accumulate
from .adam import adamw_update, google_update
from .clip import clip_by_global_norm, global_norm
from .lamb import lamb_update
from .optimizer import Optimizer
from .schedule import Schedule, constant_rate, google_rate, huggingface_rate

__all__ = [
    "Optimizer",
    "Schedule",
    "accumulate",
    "adamw_update",
    "clip_by_global_norm",
    "constant_rate",
    "global_norm",
    "google_rate",
    "google_update",
    "huggingface_rate",
    "lamb_update",
]
