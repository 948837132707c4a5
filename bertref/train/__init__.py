"""Training: the step, the loop, and what surrounds them."""

from .loop import Result, pretrain
from .pretraining.options import PretrainOptions
from .step import Recipe, State, StepResult, train_step

__all__ = ["PretrainOptions", "Recipe", "Result", "State", "StepResult", "pretrain", "train_step"]
