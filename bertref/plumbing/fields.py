"""The fields of a record of options hold what their types say, whoever made the record.

A number may be NumPy's and a path a `pathlib.Path`; a sequence of strings may be a list. The record gets the plain
value.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_args, get_type_hints

from ..errors import InputError

WANTED = {
    bool: "True or False", int: "a whole number", float: "a number", str: "a string",
    tuple: "a sequence of strings",
}  # fmt: skip


def check_types(record: Any) -> None:
    """Makes every field of a frozen dataclass plain: bool, int, float, str, a tuple of strings, or None where it is
    allowed.

    Raises `InputError` naming the first field with a value of another type.
    """
    hints = get_type_hints(type(record))
    for field in fields(record):
        object.__setattr__(record, field.name, _plain(field.name, getattr(record, field.name), hints[field.name]))


def must_be(record: Any, kind: type) -> None:
    """Raises `InputError` unless `record` is of the class that a function asks for."""
    if not isinstance(record, kind):
        raise InputError(f"the options are a {type(record).__name__}; give a bertref.{kind.__name__}(...)")


def _plain(name: str, value: Any, hint: Any) -> Any:
    kinds = [getattr(kind, "__origin__", kind) for kind in _alternatives(hint)]
    if value is None and type(None) in kinds:
        return None
    kind = next(kind for kind in kinds if kind is not type(None))
    if kind is tuple:
        return _strings(name, value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if kind is float and isinstance(value, Real) and not isinstance(value, bool):
        return value if isinstance(value, int) else float(value)
    if kind is str and isinstance(value, str | os.PathLike):
        return os.fspath(value)
    raise InputError(f"{name} is {value!r}; it must be {WANTED[kind]}{', or None' if len(kinds) > 1 else ''}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """`int | None` -> int, None; another type as it is."""
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        raise InputError(f"{name} is the string {text!r}; give a sequence of strings, ({text!r},)")
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
        raise InputError(f"{name} is {value!r}; it must be {WANTED[tuple]}")
    return tuple(_plain(name, each, str) for each in value)
