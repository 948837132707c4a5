"""What a model is trained for: from a batch on the host to losses, figures and the gradients of every parameter.

`base` says what a training step needs of an objective, `gradients` asks one for all of it, and every other file is an
objective.
"""

from .base import TOTAL, Denominators, Figure, HostBatch, Objective, Outcome, Prepared, added, ordered
from .gradients import losses_and_gradients
from .pretraining import PretrainingObjective

__all__ = [
    "TOTAL",
    "Denominators",
    "Figure",
    "HostBatch",
    "Objective",
    "Outcome",
    "Prepared",
    "PretrainingObjective",
    "added",
    "losses_and_gradients",
    "ordered",
]
