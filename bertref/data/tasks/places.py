"""Errors that name an example by its place, as "dev.csv, line 7", say where that file lies."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import InputError
from .examples import Part


@contextmanager
def with_path(part: Part) -> Iterator[None]:
    """Within, an `InputError` that begins with the name of the part's file begins with its whole path."""
    try:
        yield
    except InputError as error:
        for file in part.files[:1]:
            if str(error).startswith(f"{file.name}, line "):
                raise InputError(str(file.parent / str(error))) from None
        raise
