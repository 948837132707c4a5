"""Errors whose message is written for a person: what is wrong, where, and what to do about it."""

from collections.abc import Mapping


class BertrefError(Exception):
    """Base of every error that bertref raises on purpose. The command line prints it without a traceback."""


class InputError(BertrefError, ValueError):
    """A file, an option or a value that the caller gave can't be used."""


class TextError(InputError):
    """Texts that a model can't answer, while it could the others of the call.

    `reasons`: the number of a text in the order given, from 0 -> a predicate, such as "has 142 tokens; ...".
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(sorted(reasons.items()))
        number, reason = next(iter(self.reasons.items()))
        more = f" ({len(reasons) - 1} more can't be answered)" if len(reasons) > 1 else ""
        super().__init__(f"text {number + 1} {reason}{more}")


class BackendUnavailable(BertrefError, RuntimeError):
    """A backend or device that can't be used here; the message names the cause and the remedy."""


class CheckpointError(InputError):
    """A saved model or training state that is missing, damaged or does not fit."""


class TrainingDiverged(BertrefError, ArithmeticError):
    """The loss or a gradient stopped being finite; names the step, the first bad tensor and the last checkpoint."""


class ProcessLost(BertrefError, RuntimeError):
    """A run in several processes can't go on, because another one of them has ended."""
