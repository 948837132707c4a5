"""The rows of a table: CSV, TSV or JSON lines, plain or `.gz`, UTF-8 with or without a byte order mark.

    .csv             separated by commas; quotes as in RFC 4180, and broken ones are an error
    .tsv, .txt       separated by tabs; a quote is a character like any other, as in GLUE's files
    .jsonl, .ndjson  one JSON object a line, whose keys are the columns

The first line names the columns unless a `TableFormat` says otherwise; without names they are "1", "2", and so on.
Blank lines are passed over; every other row has as many columns as the first. A line ends at "\\n" or "\\r\\n" and
nowhere else.

Reading streams: one row is in memory at a time.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ...errors import InputError
from ..pretraining.text_files import JSONL, ending, read_lines

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
"""The ending before any `.gz` -> what separates the columns."""
TABLES = (*DELIMITERS, *JSONL)
BINARY = (".xlsx", ".xls", ".ods", ".parquet", ".arrow", ".feather")
"""Tables that no delimiter makes readable."""
WORDS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars", " ": "spaces"}
BARE_RETURN = "a line ends at a carriage return alone (\\r), as in old files of the Macintosh; convert them to \\n"
UNFIT = '"\r\n'
"""What can't separate columns."""
LARGEST_FIELD = 1 << 28
"""Characters. The csv module's own limit of 131,072 is for the whole process; a text may well be longer."""


class TableRow(NamedTuple):
    """The line where a row begins, counted from 1, and its values by column: strings, but JSON's own in JSON lines."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class TableFormat:
    """`delimiter` and `quoting`, None: by the file's ending (quoting everywhere but between tabs).

    A delimiter is one character; "\\t", a backslash and a t, is a tab. Raises `InputError` for any other.

    `header`: the first line names the columns. `names` are used where it does not; () numbers them from "1".
    """

    delimiter: str | None = None
    quoting: bool | None = None
    header: bool = True
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.delimiter == "\\t":
            object.__setattr__(self, "delimiter", "\t")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in UNFIT):
            raise InputError(
                f"the delimiter is {self.delimiter!r}; one character is needed, such as ';', or \\t for a tab"
            )


BY_ENDING = TableFormat()
OnBroken: TypeAlias = Callable[[int], None]
"""Told the line of a row with a wrong number of columns, which is then left out."""
_Record: TypeAlias = tuple[int, list[str]]


def read_rows(path: Path, form: TableFormat = BY_ENDING, on_broken: OnBroken | None = None) -> Iterator[TableRow]:
    """The rows of a file, in its order.

    Raises `InputError` while reading, naming file and line: for a file that can't be read or is not UTF-8, an ending
    that says no delimiter, a delimiter that the file does not have, broken quoting, a row of another width than the
    first (unless `on_broken` is told), a header that comes again, lines that end at "\\r", a line that is no JSON
    object; and at the end if there was no row.
    """
    rows = _json_rows(path) if ending(path) in JSONL else _table_rows(path, form, on_broken)
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise InputError(f"{path}: no rows in it")


def no_column(where: str, wanted: str, names: Sequence[str]) -> InputError:
    """The error for a column that is not there."""
    return InputError(f"{where}: no column {wanted!r}; there {'is' if len(names) == 1 else 'are'} {_quoted(names)}")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _table_rows(path: Path, form: TableFormat, on_broken: OnBroken | None) -> Iterator[TableRow]:
    delimiter = form.delimiter or DELIMITERS.get(ending(path))
    if delimiter is None and ending(path) in BINARY:
        raise InputError(f"{path}: such files are not read; save the table as CSV ({' '.join(TABLES)} are read)")
    if delimiter is None:
        raise InputError(f"{path}: not a table by its ending ({' '.join(TABLES)}, .gz of these); give its --delimiter")
    quoting = delimiter != "\t" if form.quoting is None else form.quoting
    records = _quoted_records(path, delimiter) if quoting else _plain_records(path, delimiter)
    names: Sequence[str] = form.names
    header: Sequence[str] = ()
    for line, record in records:
        if form.header and not names:
            _check_delimiter(path, line, record, delimiter, WORDS)
            names = header = _header(path, line, record)
            continue
        if not names:
            _check_delimiter(path, line, record, delimiter, "\t")
            names = [str(number) for number in range(1, len(record) + 1)]
        if len(header) > 1 and record[0].strip() == header[0] and [value.strip() for value in record] == header:
            raise InputError(f"{path}, line {line}: the header comes again; remove the line")
        if len(record) == len(names):
            yield TableRow(line, dict(zip(names, record, strict=True)))
        elif on_broken:
            on_broken(line)
        else:
            raise InputError(
                f"{path}, line {line}: the number of columns is {len(record)}, not {len(names)} ({_quoted(names)})"
            )


def _header(path: Path, line: int, record: list[str]) -> list[str]:
    if any("\r" in value for value in record):
        raise InputError(f"{path}, line {line}: {BARE_RETURN}")
    names = [name.strip() for name in record]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(f"{path}, line {line}: two columns are called {twice[0]!r}; rename one")
    return names


def _check_delimiter(path: Path, line: int, record: list[str], delimiter: str, others: Iterable[str]) -> None:
    """Refuses a first line that is one column only because something else separates it."""
    if len(record) > 1:
        return
    for other in others:
        if other not in (delimiter, " ") and other in record[0]:
            shown = {"\t": "'\\t'"}.get(other, repr(other))
            raise InputError(
                f"{path}, line {line}: one column was found between {WORDS.get(delimiter, repr(delimiter))}, but the "
                f"line has {WORDS[other]}; give --delimiter {shown}, or name the file by what it is"
            )


def _plain_records(path: Path, delimiter: str) -> Iterator[_Record]:
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip(" "):
            yield number, line.split(delimiter)


def _quoted_records(path: Path, delimiter: str) -> Iterator[_Record]:
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_FIELD))
    reader = csv.reader((f"{line}\n" for line in read_lines(path)), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}, line {start}: {_quoting_fault(str(error))}") from None
        if any(value.strip() for value in record) or len(record) > 1:
            yield start, record


def _quoting_fault(error: str) -> str:
    if "unexpected end" in error or "field larger" in error:
        return "broken quoting: a quote that opens in the row beginning here is not closed"
    if "expected after" in error:
        return (
            "broken quoting: in the row beginning here something follows a closing quote; "
            'a quote inside of a quoted field is written twice ("")'
        )
    return BARE_RETURN if "new-line" in error else f"not CSV: {error}"


def _json_rows(path: Path) -> Iterator[TableRow]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise InputError(f"{path}, line {number}: a JSON object is expected, with the columns as its keys")
        yield TableRow(number, values)
