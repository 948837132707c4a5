"""The labels of a data set: found in its training part, in an order that does not depend on that of the file."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from ..errors import InputError

MOST = 10_000
"""More labels than this are numbers or texts in a wrong column."""
UNNAMED = re.compile(r"LABEL_\d+")


def found_labels(labels: Iterable[Any], *, unlabelled: bool = False) -> tuple[str, ...]:
    """The different labels, each a word or several words (multi-label, or a sentence's), in order: as numbers where
    all are numbers, else as words. "O", which is no entity, comes first.

    Raises `InputError` where a label is missing (unless examples may be `unlabelled`), there is none at all, or there
    are more than `MOST`.
    """
    found: dict[str, None] = {}
    for each in labels:
        if each is None and unlabelled:
            continue
        if each is None:
            raise InputError("an example of the training part has no label")
        for label in (each,) if isinstance(each, str) else each:
            found[label] = None
        if len(found) > MOST:
            raise InputError(
                f"more than {MOST:,} different labels; is it the right column? (for numbers: regression)"
            )
    if not found:
        raise InputError("the training part has no labels")
    return tuple(sorted(found, key=_order))


def _order(label: str) -> tuple[Any, ...]:
    if label == "O":
        return (0, 0.0, "")
    try:
        return (1, float(label), label)
    except ValueError:
        return (2, 0.0, label)


def unnamed(labels: Sequence[str]) -> bool:
    """Whether labels are only numbered, LABEL_0, LABEL_1, ..., as Hugging Face does where nobody named them."""
    return all(UNNAMED.fullmatch(label) for label in labels)


def numbers_of(labels: Sequence[str]) -> dict[str, int]:
    """Label -> its number. Raises `InputError` for a label that comes twice."""
    table = {label: i for i, label in enumerate(labels)}
    if len(table) != len(labels):
        twice = next(label for i, label in enumerate(labels) if table[label] != i)
        raise InputError(f"the label {twice!r} is given twice")
    return table


def number_of(table: dict[str, int], label: str, place: str) -> int:
    """A label's number. Raises `InputError` naming the place where it is unknown, and where it looks as if it were of
    another scheme of entities (IOB2, BIOES) than the others."""
    if label not in table:
        known = ", ".join(list(table)[:8]) + (", ..." if len(table) > 8 else "")
        raise InputError(f"{place}: the label {label!r} is unknown; there are {known}{_scheme_hint(table, label)}")
    return table[label]


def _scheme_hint(table: dict[str, int], label: str) -> str:
    """What to do about a label that differs from a known one in its position only, as I-PER from B-PER."""
    position, dash, name = label.partition("-")
    if not dash or len(position) != 1 or not any(known[1:] == f"-{name}" for known in table):
        return ""
    return ". If these data mark entities in another scheme (IOB1, IOB2, BIOES), convert all to one"


def counts_of(labels: Iterable[Any], table: dict[str, int]) -> list[int]:
    """How often each label stands, in the order of the numbers; None, no label, counts for none."""
    counts = [0] * len(table)
    for label in chain.from_iterable((each,) if isinstance(each, str) else each or () for each in labels):
        counts[table[label]] += 1
    return counts
