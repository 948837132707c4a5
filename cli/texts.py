"""Texts from the command line, a file or standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError


def read_texts(arguments: tuple[str, ...], file: str | None, *, empty: bool = False) -> Iterator[str]:
    """The arguments, or the lines of `file` ("-": standard input), without their line ends.

    Empty lines are skipped, unless `empty`. Raises `InputError` if there is neither, both, or the file is missing or
    not UTF-8.
    """
    if bool(arguments) == bool(file):
        raise InputError("give either texts or --file FILE (- for standard input)")
    if arguments:
        yield from arguments
        return
    assert file is not None
    if file != "-" and not Path(file).is_file():
        raise InputError(f"{file}: no such file")
    stream = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115
    with stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(f"{file}, line {number}: not UTF-8 ({error.reason}); convert it first") from None
            if empty or text.strip():
                yield text


def count_texts(arguments: tuple[str, ...], file: str | None) -> int | None:
    """How many texts `read_texts(..., empty=True)` will give; None where only reading could tell."""
    if file is None or file == "-" or not Path(file).is_file():
        return len(arguments) or None
    with open(file, "rb") as stream:
        return sum(1 for _ in stream)
