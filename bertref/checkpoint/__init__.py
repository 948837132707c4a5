"""Saving and loading: models as Hugging Face folders, training state beside them."""

from .folder import SavedModel, describe_model, load_model, save_weights
from .training import TrainingState, checkpoints, latest

__all__ = ["SavedModel", "TrainingState", "checkpoints", "describe_model", "latest", "load_model", "save_weights"]
