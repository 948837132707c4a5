"""What a model is trained for: from a batch on the host to losses, figures and the gradients of every parameter.

`base` says what a training step needs of an objective, `gradients` asks one for all of it. `pretraining` is the
objective of two heads; those of the tasks (`HeadObjective`) have one each.
"""

from .base import TOTAL, Denominators, Figure, HostBatch, Objective, Outcome, Prepared, added, ordered
from .choice import ChoiceObjective
from .classification import ClassificationObjective
from .distillation import DistillationObjective
from .gradients import losses_and_gradients
from .head_objective import HeadObjective
from .imitation import Teacher
from .mixture import MixtureObjective
from .multi_label import MultiLabelObjective
from .pretraining import PretrainingObjective
from .regression import RegressionObjective
from .spans import SpanObjective
from .taught_words import TaughtWordsObjective
from .tokens import TokenObjective

__all__ = [
    "TOTAL",
    "ChoiceObjective",
    "ClassificationObjective",
    "Denominators",
    "DistillationObjective",
    "Figure",
    "HeadObjective",
    "HostBatch",
    "MixtureObjective",
    "MultiLabelObjective",
    "Objective",
    "Outcome",
    "Prepared",
    "PretrainingObjective",
    "RegressionObjective",
    "SpanObjective",
    "TaughtWordsObjective",
    "Teacher",
    "TokenObjective",
    "added",
    "losses_and_gradients",
    "ordered",
]
