"""Optimisers, gradient clipping and learning-rate schedules: from gradients to the next parameters."""

from collections.abc import Callable
from typing import Any

from .accumulate import accumulate
from .adam import adamw_update, google_update
from .clip import clip_by_global_norm, global_norm, scaled
from .lamb import lamb_update
from .norms import squared_norm
from .optimizer import Optimizer
from .schedule import Schedule, constant_rate, google_rate, huggingface_rate

PASSES: dict[Callable[..., Any], int] = {
    google_update: 4, adamw_update: 4, lamb_update: 4, squared_norm: 1, scaled: 1
}
"""Passes over the parameters that a backend may bring a faster version of (`faster`) -> how many arrays each takes."""

__all__ = [
    "PASSES",
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
