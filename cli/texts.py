"""Texts from the command line, a file or standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError


def read_texts(arguments: tuple[str, ...], file: str | None) -> Iterator[str]:
    """The arguments, or the lines of `file` ("-": standard input), without their line ends; empty lines are skipped.

    Raises `InputError` if there is neither, both, or the file is missing or not UTF-8.
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
            if text.strip():
                yield text
