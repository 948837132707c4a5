"""Optimisers, gradient clipping and learning-rate schedules: from gradients to the next parameters."""

from collections.abc import Callable
from typing import Any

from .accumulate import accumulate
from .adam import adamw_update, google_update
from .adam_variants import LEFT_OUT
from .clip import clip_by_global_norm, clipping_factor, global_norm
from .flat import blank
from .lamb import lamb_update
from .lion import lion_update
from .norms import squared_norm
from .optimizer import Optimizer
from .rule import UpdateRule
from .rules import RULES
from .schedule import Schedule, constant_rate, google_rate, huggingface_rate

PASSES: dict[Callable[..., Any], int] = {
    **{rule.update: 2 + len(rule.moments) for rule in RULES.values()}, squared_norm: 1, blank: 0,
}
"""Passes over the parameters that a backend may bring a faster version of (`faster`) -> how many arrays each takes."""

__all__ = [
    "LEFT_OUT",
    "PASSES",
    "RULES",
    "Optimizer",
    "Schedule",
    "UpdateRule",
    "accumulate",
    "adamw_update",
    "clip_by_global_norm",
    "clipping_factor",
    "constant_rate",
    "global_norm",
    "google_rate",
    "google_update",
    "huggingface_rate",
    "lamb_update",
    "lion_update",
]
