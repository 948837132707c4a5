"""Options that mean something for some tasks only: given for another one, they are refused, not ignored.

An option counts as given if it differs from its default.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..errors import InputError

TEXTS = ("classification", "regression", "multi-label")
QUESTIONS = ("question-answering",)
KINDS_OF: dict[str, tuple[str, ...]] = {
    "labels": (*TEXTS, "token-classification"),
    "windows": TEXTS,
    "truncate": (*TEXTS, "multiple-choice"),
    "stride": (*TEXTS, *QUESTIONS, "token-classification"),
    "max_query_length": QUESTIONS,
    "max_answer_length": QUESTIONS,
    "null_threshold": QUESTIONS,
}
"""Option -> the kinds of task for which it means something, in fine-tuning and in evaluation."""

NEEDS: dict[str, str] = {"confidence": "bootstrap"}
"""Option of an evaluation -> the one without which it does nothing."""


def check_applicable(options: Any, kind: str) -> None:
    """Raises `InputError` naming the first option of an evaluation that would do nothing."""
    check_kinds(options, kind, KINDS_OF)
    check_needs(options, NEEDS)
    if options.predictions is not None and options.null_odds is None:
        check_needs(options, {"null_threshold": "null_odds"})


def check_kinds(options: Any, kind: str, kinds_of: Mapping[str, tuple[str, ...]]) -> None:
    """Raises `InputError` for an option that means nothing for a kind of task, or for texts without windows."""
    given = given_names(options)
    for name in sorted(given & kinds_of.keys()):
        if kind not in kinds_of[name]:
            raise InputError(f"--{shown(name)} does nothing for {kind}; leave it out")
    if "stride" in given and kind in TEXTS and not given & {"windows", "answer_windows"}:
        raise InputError("--stride does nothing without --windows; leave it out")
    if {"truncate", "windows"} <= given:
        raise InputError("--truncate does nothing with --windows, through which the whole text is read; leave one out")


def check_needs(options: Any, needs: Mapping[str, str]) -> None:
    """Raises `InputError` for an option that is given without the one that it needs."""
    given = given_names(options)
    for name in sorted(given & needs.keys()):
        if needs[name] not in given:
            raise InputError(f"--{shown(name)} does nothing without --{shown(needs[name])}; leave it out")


def given_names(options: Any) -> set[str]:
    """The names of those fields of a dataclass that differ from their defaults."""
    return {field.name for field in fields(options) if getattr(options, field.name) != field.default}


def shown(name: str) -> str:
    """A field's name as the command line spells it."""
    return name.replace("_", "-")
