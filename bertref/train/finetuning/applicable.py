"""Options of a fine-tuning that mean something for some kinds of tasks only: given for another kind, they are refused,
not ignored. Those that an evaluation has, too, are in its table."""

from ...errors import InputError
from ...evaluation import applicable
from ...evaluation.applicable import check_kinds, check_needs
from .options import FinetuneOptions

KINDS_OF: dict[str, tuple[str, ...]] = {
    **applicable.KINDS_OF,
    "label_smoothing": ("classification", "token-classification"),
    "class_weights": ("classification", "token-classification"),
    "answer_windows": applicable.TEXTS,
    "calibrate": ("classification",),
}
"""Option -> the kinds for which it means something."""

NEEDS: dict[str, str] = {
    "temperature": "teacher", "hard_weight": "teacher", "hidden": "teacher", "hidden_weight": "hidden",
    "masked_words_every": "masked_words",
}  # fmt: skip
"""Option -> the one without which it does nothing."""


def check_applicable(options: FinetuneOptions, kind: str) -> None:
    """Raises `InputError` naming the first option that would do nothing."""
    check_kinds(options, kind, KINDS_OF)
    check_needs(options, NEEDS)
    if options.test is not None and "test" not in options.predict_on:
        raise InputError("--test does nothing without --predict-on test; leave it out")
