"""Multiple choice: SWAG's table, or JSON lines with any number of choices.

    CSV, TSV     sent1, sent2, ending0, ending1, ..., label: the context is sent1, a choice is sent2 and an ending
                 (Zellers et al. 2018, arXiv:1808.05326; its train.csv, val.csv and, without label, test.csv)
    JSON lines   the same keys, or {"context": ..., "choices": [..., ...], "label": 0}

The label is the number of the right choice, from 0. The group is the film (`video-id`), where there is one, or "group".
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import InputError
from .examples import ChoiceExample, Part
from .tables import BY_ENDING, TableFormat, TableRow, no_column, read_rows
from .text_tables import checked_text


def choice_part(name: str, path: Path, form: TableFormat = BY_ENDING, *, labelled: bool = True) -> Part:
    """A part of contexts with their choices; without `labelled`, labels may be missing.

    Raises `InputError`, when it is read, for a missing column, an empty context or choice, another number of choices
    than the first example's, fewer than two, or a label that numbers none of them: with the line.
    """

    def read() -> Iterator[ChoiceExample]:
        count = 0
        for row in read_rows(path, form):
            where = f"{path}, line {row.line}"
            example = _example(path, row, where, labelled=labelled)
            count = count or len(example.choices)
            if len(example.choices) != count:
                raise InputError(f"{where}: the number of choices is {len(example.choices)}, but {count} above it")
            yield example

    return Part(name, (path,), read, {"format": vars(form), "labelled": labelled})


def _example(path: Path, row: TableRow, where: str, *, labelled: bool) -> ChoiceExample:
    context, choices = _context_and_choices(row.values, where)
    if len(choices) < 2:
        raise InputError(f"{where}: a choice needs at least two; there is {len(choices)}")
    group = row.values.get("video-id", row.values.get("group"))
    label = _label(row.values, len(choices), where, needed=labelled)
    return ChoiceExample(
        f"{path.name}, line {row.line}", context, choices, label, None if group is None else str(group)
    )


def _context_and_choices(values: dict[str, Any], where: str) -> tuple[str, tuple[str, ...]]:
    if "choices" in values:
        choices = values["choices"]
        if not isinstance(choices, list):
            raise InputError(f"{where}: 'choices' has to be a list of texts")
        context = checked_text(_column(values, "context", where), "context", where)
        return context, tuple(checked_text(choice, f"choice {i}", where) for i, choice in enumerate(choices))
    context = checked_text(_column(values, "sent1", where), "sent1", where)
    start = _column(values, "sent2", where)
    _column(values, "ending0", where)
    names = list(itertools.takewhile(values.__contains__, (f"ending{i}" for i in itertools.count())))
    endings = (checked_text(values[name], name, where) for name in names)
    return context, tuple(f"{start} {ending}".strip() for ending in endings)


def _column(values: dict[str, Any], name: str, where: str) -> Any:
    if name not in values:
        raise no_column(where, name, tuple(values))
    return values[name]


def _label(values: dict[str, Any], count: int, where: str, *, needed: bool) -> int | None:
    value = values.get("label")
    if value is None or value == "":
        if not needed:
            return None
        if "label" not in values:
            raise no_column(where, "label", tuple(values))
        raise InputError(f"{where}: no label; remove the row or fill it")
    if str(value).strip() not in map(str, range(count)):
        raise InputError(f"{where}: the label is {value!r}; it has to be the number of a choice, 0 to {count - 1}")
    return int(value)
