"""Texts, pairs of texts and their labels from the columns of a table (`tables.py`).

Columns that nobody names are found by their names: `text`, `sentence`, `sentence1` ... and with them the second text
that belongs to it; `label`, `labels`, `score` ... A text that is named has no second text unless that is named, too.
"""

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import InputError
from .examples import Kind, Part, TextExample
from .tables import BY_ENDING, TableFormat, TableRow, no_column, read_rows

TEXTS = {
    "text": ("text_pair", "pair"),
    "text1": ("text2",),
    "sentence": ("sentence_pair",),
    "sentence1": ("sentence2",),
    "premise": ("hypothesis",),
    "question1": ("question2",),
    "question": ("sentence", "answer"),
    "review": (),
    "content": (),
    "tweet": (),
}
"""Names of a text's column, the likeliest first -> names of the second text's."""
LABELS = ("label", "labels", "score", "gold_label", "category", "class", "target", "sentiment")


@dataclass(frozen=True)
class Columns:
    """Names of columns; None: found by their names (`group`: there is none).

    `separator` stands between the labels of a text (multi-label); a value that is a JSON array needs none.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    group: str | None = None
    separator: str = ","


GUESSED = Columns()
Label: TypeAlias = str | float | tuple[str, ...] | None


def text_part(
    name: str,
    path: Path,
    kind: Kind,
    columns: Columns = GUESSED,
    form: TableFormat = BY_ENDING,
    *,
    labelled: bool = True,
) -> Part:
    """A part of classification, regression or multi-label examples; without `labelled`, labels may be missing.

    Raises `InputError` for what the first row shows, such as a column that is not there; and while it is read for an
    empty text, an empty label, a number that is none or not finite: with the line.
    """
    first = next(read_rows(path, form))
    chosen = choose(columns, tuple(first.values), f"{path}", labelled=labelled)

    def read() -> Iterator[TextExample]:
        for row in read_rows(path, form):
            yield _example(path, row, kind, chosen, labelled=labelled)

    settings = {"kind": kind, "columns": vars(chosen), "format": vars(form), "labelled": labelled}
    return Part(name, (path,), read, settings)


def choose(columns: Columns, names: Sequence[str], where: str, *, labelled: bool) -> Columns:
    """The columns, the open ones found among the `names` that there are. Raises `InputError` if one isn't."""
    for wanted in (columns.text, columns.pair, columns.group, columns.label):
        if wanted is not None and wanted not in names and not (wanted == columns.label and not labelled):
            raise no_column(where, wanted, names)
    text = columns.text or next((known for known in TEXTS if known in names), None)
    if text is None:
        raise _not_found(where, "text", names, columns)
    pairs = () if columns.text else TEXTS[text]
    label = columns.label or next((known for known in LABELS if known in names), None)
    if label not in names:
        if labelled:
            raise _not_found(where, "label", names, replace(columns, text=text))
        label = None
    pair = columns.pair or next((known for known in pairs if known in names), None)
    if text == label:
        raise InputError(f"{where}: the text and the label are one column, {text!r}; name two (--text, --label)")
    return replace(columns, text=text, pair=pair, label=label)


def _not_found(where: str, what: str, names: Sequence[str], columns: Columns) -> InputError:
    """The error for a column that no name shows, with the option that names it."""
    used = (columns.text, columns.pair, columns.label, columns.group)
    others = [name for name in names if name not in used and name not in (LABELS if what == "text" else ())]
    chosen = shlex.quote(others[0]) if len(others) == 1 else "COLUMN"
    return InputError(f"{no_column(where, what, names)}; name it: --{what} {chosen}")


def _example(path: Path, row: TableRow, kind: Kind, columns: Columns, *, labelled: bool) -> TextExample:
    where = f"{path}, line {row.line}"
    label = None
    if columns.label and (labelled or columns.label in row.values):
        label = _label(_value(row, columns.label, where), kind, columns, where, needed=labelled)
    return TextExample(
        place=f"{path.name}, line {row.line}",
        text=checked_text(_value(row, columns.text or "", where), columns.text or "", where),
        pair=checked_text(_value(row, columns.pair, where), columns.pair, where) if columns.pair else None,
        label=label,
        group=_word(_value(row, columns.group, where)) if columns.group else None,
    )


def _value(row: TableRow, column: str, where: str) -> Any:
    if column not in row.values:
        raise no_column(where, column, tuple(row.values))
    return row.values[column]


def checked_text(value: Any, column: str, where: str) -> str:
    """The value, if it is a string with more than white space in it; otherwise `InputError`."""
    if not isinstance(value, str):
        raise InputError(f"{where}: {column!r} is {json.dumps(value)[:40]}, not a text")
    if not value.strip():
        raise InputError(f"{where}: the text in {column!r} is empty; remove the row or fill it")
    return value


def _word(value: Any) -> str:
    """A label or a group as a word; JSON's numbers and booleans as JSON writes them."""
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _label(value: Any, kind: Kind, columns: Columns, where: str, *, needed: bool) -> Label:
    if value is None or (value == "" and kind != "multi-label"):
        if needed:
            raise InputError(f"{where}: no label in {columns.label!r}; remove the row or fill it")
        return None
    if kind == "regression":
        return finite(value, columns.label or "", where)
    if kind == "multi-label":
        return _labels(value, columns, where)
    if isinstance(value, list | dict):
        raise InputError(f"{where}: {columns.label!r} holds several labels; the task for those is multi-label")
    word = _word(value)
    if not word:
        raise InputError(f"{where}: the label in {columns.label!r} is blank")
    return word


def finite(value: Any, column: str, where: str) -> float:
    """The value as a number; `InputError` if it is none, or NaN or infinite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = None
    if isinstance(value, str) and "_" in value:  # 1_000, which is Python's alone
        number = None
    if number is None or not math.isfinite(number):
        raise InputError(f"{where}: {column!r} is {str(value)[:40]!r}; a finite number is needed")
    return number


def _labels(value: Any, columns: Columns, where: str) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InputError(f"{where}: {columns.label!r} begins like a JSON array, but is none: {error}") from None
    words = value.split(columns.separator) if isinstance(value, str) else value
    if not isinstance(words, list):
        raise InputError(f"{where}: {columns.label!r} is {json.dumps(value)[:40]}; a list of labels is needed")
    return tuple(dict.fromkeys(filter(None, map(_word, words))))
