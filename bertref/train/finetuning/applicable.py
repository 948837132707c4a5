"""Options that mean something for some kinds of tasks only: given for another kind, they are refused, not ignored."""

from dataclasses import fields

from ...errors import InputError
from .options import FinetuneOptions

TEXTS = ("classification", "regression", "multi-label")
QUESTIONS = ("question-answering",)
KINDS_OF: dict[str, tuple[str, ...]] = {
    "labels": ("classification", "multi-label", "regression", "token-classification"),
    "label_smoothing": ("classification", "token-classification"),
    "class_weights": ("classification", "token-classification"),
    "windows": TEXTS,
    "truncate": (*TEXTS, "multiple-choice"),
    "stride": (*TEXTS, *QUESTIONS, "token-classification"),
    "max_query_length": QUESTIONS,
    "max_answer_length": QUESTIONS,
    "null_threshold": QUESTIONS,
}
"""Option -> the kinds for which it means something."""

NEEDS: dict[str, str] = {
    "temperature": "teacher", "hard_weight": "teacher", "hidden": "teacher", "hidden_weight": "hidden",
}  # fmt: skip
"""Option -> the one without which it does nothing."""

DEFAULTS = {field.name: field.default for field in fields(FinetuneOptions)}


def check_applicable(options: FinetuneOptions, kind: str) -> None:
    """Raises `InputError` naming the first option that would do nothing."""
    given = {name for name, default in DEFAULTS.items() if getattr(options, name) != default}
    for name in sorted(given & KINDS_OF.keys()):
        if kind not in KINDS_OF[name]:
            raise InputError(f"--{_option(name)} does nothing for {kind}; leave it out")
    for name in sorted(given & NEEDS.keys()):
        if NEEDS[name] not in given:
            raise InputError(f"--{_option(name)} does nothing without --{NEEDS[name]}; leave it out")
    if "stride" in given and kind in TEXTS and not options.windows:
        raise InputError("--stride does nothing without --windows; leave it out")


def _option(name: str) -> str:
    return name.replace("_", "-")
