"""Are the entities found that the labels of words spell: seqeval's figures, from sequences of labels such as B-PER.

An entity is a type and the words from its first to its last; it is right if all three agree. In every scheme it lies in
a run of neighbouring words of one type, and the prefixes in such a run spell it, so a scheme is a regular expression
over them:

    lenient   S|[BI]I*E?|E    conlleval's rule, seqeval's default, for IOB1, IOB2 and IOBES: an I or E that continues
                              nothing begins an entity, an entity that never ends is one
    IOB2      BI*             the strict ones: whatever the scheme does not allow is no entity
    IOE2      I*E
    IOBES     S|BI*E
    BILOU     U|BI*L

Source: seqeval 1.2.2 (`mode=None`, and `mode="strict"` with a scheme), which follows conlleval.pl of CoNLL-2000.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .averages import Counts, Scores, each, macro, micro, weighted
from .value import UNDEFINED, Value


class Scheme(NamedTuple):
    """`prefixes` are the letters that labels may begin with, beside O; `entity` spells one entity in them."""

    prefixes: str
    entity: re.Pattern[str]


SCHEMES = {
    "lenient": Scheme("BIES", re.compile("S|[BI]I*E?|E")),
    "IOB2": Scheme("BI", re.compile("BI*")),
    "IOE2": Scheme("IE", re.compile("I*E")),
    "IOBES": Scheme("BIES", re.compile("S|BI*E")),
    "BILOU": Scheme("BILU", re.compile("U|BI*L")),
}


class Entity(NamedTuple):
    """Words `start` to `end` - 1 of a sentence; `type` is "_" where the labels have none ("B" alone)."""

    type: str
    start: int
    end: int


def entities(labels: Sequence[str], scheme: str = "lenient") -> list[Entity]:
    """The entities of one sentence, in order.

    Raises `InputError` for a scheme that isn't known, and for a label that is none of it: not O and not one of its
    prefixes with "-TYPE" behind it or nothing.
    """
    if scheme not in SCHEMES:
        raise InputError(f"metric: there is no scheme {scheme!r}; choose one of {', '.join(SCHEMES)}")
    return list(_entities(labels, scheme))


def _entities(labels: Sequence[str], scheme: str) -> Iterator[Entity]:
    start = 0
    parts = [_split(label, scheme) for label in labels]
    for (inside, kind), run in groupby(parts, key=lambda part: (part[0] != "O", part[1])):
        prefixes = "".join(prefix for prefix, _ in run)
        if inside:
            for found in SCHEMES[scheme].entity.finditer(prefixes):
                yield Entity(kind, start + found.start(), start + found.end())
        start += len(prefixes)


def _split(label: str, scheme: str) -> tuple[str, str]:
    prefix, dash, kind = label[:1], label[1:2], label[2:]
    if label != "O" and (not prefix or prefix not in SCHEMES[scheme].prefixes or dash not in ("", "-")):
        letters = ", ".join(f"{letter}-TYPE" for letter in SCHEMES[scheme].prefixes)
        raise InputError(f"metric: the label {label!r} is none of the scheme {scheme}: O, {letters}")
    return prefix, kind or "_"


class EntityReport(NamedTuple):
    """`rows`: type -> its scores, by name; then the averages, and the accuracy of the words' labels.

    Without any entity the averages are undefined: 0, but the macro average NaN, as in seqeval.
    """

    rows: dict[str, Scores]
    micro: Scores
    macro: Scores
    weighted: Scores
    accuracy: Value


def entity_report(
    labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], scheme: str = "lenient"
) -> EntityReport:
    """The figures of sentences: for each the labels of its words, true and predicted.

    Raises `InputError` if a sentence has another number of labels than of predictions, and what `entities` raises.
    """
    if len(labels) != len(predictions):
        raise InputError(f"metric: there are {len(labels)} sentences, and predictions for {len(predictions)}")
    counted: dict[str, list[int]] = {}
    words = right_words = 0
    for number, (true, found) in enumerate(zip(labels, predictions, strict=True), 1):
        if len(true) != len(found):
            raise InputError(f"metric: sentence {number} has {len(true)} labels and {len(found)} predictions")
        words += len(true)
        right_words += sum(a == b for a, b in zip(true, found, strict=True))
        _count(counted, set(entities(true, scheme)), set(entities(found, scheme)))
    kinds = sorted(counted)
    counts = Counts(*np.array([counted[kind] for kind in kinds], dtype=np.int64).reshape(-1, 3).T)
    accuracy = Value(right_words / words) if words else UNDEFINED
    rows = dict(zip(kinds, each(counts), strict=True))
    return EntityReport(rows, micro(counts), macro(counts), weighted(counts), accuracy)


def _count(counted: dict[str, list[int]], true: set[Entity], found: set[Entity]) -> None:
    """Adds one sentence: of each type, right, predicted and true entities."""
    for place, some in enumerate((true & found, found, true)):
        for entity in some:
            counted.setdefault(entity.type, [0, 0, 0])[place] += 1
