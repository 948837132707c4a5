"""Tells any implementation of BERT whether it is right, and where it first goes wrong.

    import bertref.verify

    report = bertref.verify.check("transformers:dtype=bfloat16")
    bertref.verify.assert_matches(my_model)          # in a test

The names below are public. They are loaded when first used: importing this package imports no array library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases.case import generate
    from .checking import assert_matches, check
    from .judgement.judge import compare
    from .records import Answers, Case, Cause, Diagnosis, Finding, Place, Report
    from .subjects import parse
    from .subjects.python import PythonSubject
    from .subjects.transformers import TransformersSubject

_HOMES = {
    "Answers": "records",
    "Case": "records",
    "Cause": "records",
    "Diagnosis": "records",
    "Finding": "records",
    "Place": "records",
    "PythonSubject": "subjects.python",
    "Report": "records",
    "TransformersSubject": "subjects.transformers",
    "assert_matches": "checking",
    "check": "checking",
    "compare": "judgement.judge",
    "generate": "cases.case",
    "parse": "subjects",
}

__all__ = [
    "Answers",
    "Case",
    "Cause",
    "Diagnosis",
    "Finding",
    "Place",
    "PythonSubject",
    "Report",
    "TransformersSubject",
    "assert_matches",
    "check",
    "compare",
    "generate",
    "parse",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertref.verify' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
