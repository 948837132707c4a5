"""Saving and loading: models of Hugging Face and of the original, and training state beside them."""

from .coverage import Coverage, CoverageRow
from .folder import describe_model, save_weights
from .load import SavedModel, load_model
from .training import TrainingState, checkpoints, latest

__all__ = [
    "Coverage",
    "CoverageRow",
    "SavedModel",
    "TrainingState",
    "checkpoints",
    "describe_model",
    "latest",
    "load_model",
    "save_weights",
]
