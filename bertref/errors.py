"""Errors whose message is written for a person: what is wrong, where, and what to do about it."""


class BertrefError(Exception):
    """Base of every error that bertref raises on purpose. The command line prints it without a traceback."""


class InputError(BertrefError, ValueError):
    """A file, an option or a value that the caller gave can't be used."""


class BackendUnavailable(BertrefError, RuntimeError):
    """A backend or device that can't be used here; the message names the cause and the remedy."""


class CheckpointError(InputError):
    """A saved model or training state that is missing, damaged or does not fit."""


class TrainingDiverged(BertrefError, ArithmeticError):
    """The loss or a gradient stopped being finite; names the step, the first bad tensor and the last checkpoint."""
