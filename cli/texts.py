"""Texts from the command line, a file, a pipe or standard input."""

import codecs
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import InputError

STDIN = "-"


class Line(NamedTuple):
    """A text and, if it was read, its line's number as an editor counts them, from 1."""

    text: str
    number: int | None = None


def read_texts(arguments: tuple[str, ...], file: str | None, *, empty: bool = False) -> Iterator[str]:
    """The texts of `read_lines`."""
    return (line.text for line in read_lines(arguments, file, empty=empty))


def read_lines(arguments: tuple[str, ...], file: str | None, *, empty: bool = False) -> Iterator[Line]:
    """The arguments, or the lines of `file` ("-": standard input), without their line ends and a byte-order mark.

    Empty lines are skipped, unless `empty`. A file may be whatever can be read: a pipe, /dev/stdin, a process's output.
    Raises `InputError` if there is neither, both, or the file can't be read or is not UTF-8.
    """
    if bool(arguments) == bool(file):
        raise InputError("give either texts or --file FILE (- for standard input)")
    if arguments:
        yield from map(Line, arguments)
        return
    assert file is not None
    with opened(file) as stream:
        for number, line in enumerate(stream, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                where = f"{named(file)}, line {number}"
                raise InputError(f"{where}: not UTF-8 ({error.reason}); convert it first") from None
            if empty or text.strip():
                yield Line(text, number)


def opened(file: str) -> BinaryIO:
    """A file to be read as bytes. Raises `InputError` saying why it can't be."""
    if file == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed; give --file FILE, or texts")
        return sys.stdin.buffer
    try:
        return open(file, "rb")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except OSError as error:
        raise InputError(f"{file}: can't be read ({error.strerror}); give a file of texts") from None


def named(file: str) -> str:
    """What a message calls the file."""
    return "standard input" if file == STDIN else file


def count_texts(arguments: tuple[str, ...], file: str | None) -> int | None:
    """How many texts `read_texts(..., empty=True)` will give; None where only reading could tell."""
    if file is None or file == STDIN or not Path(file).is_file():
        return len(arguments) or None
    with open(file, "rb") as stream:
        return sum(1 for _ in stream)
