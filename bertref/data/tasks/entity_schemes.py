"""How labels of words mark where an entity begins and ends, and one form for all of them.

    words    Alex  met  Mary  Ann  in  New  York  today        two entities side by side: "Mary", "Ann"
    IOB1     I-P   O    I-P   B-P  O   I-L  I-L   O            B only between neighbours of one type
    IOB2     B-P   O    B-P   B-P  O   B-L  I-L   O            B wherever an entity begins
    BIOES    S-P   O    S-P   S-P  O   B-L  E-L   O            also the end (E or L) and the single word (S or U)

(Ramshaw and Marcus 1995, arXiv:cmp-lg/9505040; Tjong Kim Sang and Veenstra 1999, arXiv:cs/9907006; Ratinov and
Roth 2009.)
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from ...errors import InputError

Scheme: TypeAlias = Literal["IOB1", "IOB2", "BIOES"]
OUTSIDE = "O"
SINGLE, END = "SU", "EL"
STARTS, STOPS = "B" + SINGLE, END + SINGLE


class _Tag(NamedTuple):
    """A label in its two halves; both "" for `OUTSIDE`."""

    position: str
    type: str


_NOWHERE = _Tag("", "")


def entity_scheme(sentences: Iterable[Sequence[str]]) -> Scheme | None:
    """The scheme that all labels of the sentences fit; None if there is none, as with parts of speech.

    Where several fit (no two neighbours of one type, no entity of several words) it is IOB2.
    """
    iob1 = iob2 = True
    bioes = False
    for labels in sentences:
        before = _NOWHERE
        for label in labels:
            tag = _split(label)
            if tag is None:
                return None
            bioes |= tag.position in tuple(SINGLE + END)
            begins = tag.type != before.type
            iob1 &= not (tag.position == "B" and begins)
            iob2 &= not (tag.position == "I" and begins)
            before = tag
    if bioes:
        return "BIOES"
    return "IOB2" if iob2 else "IOB1" if iob1 else None


def to_iob2(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels of one sentence in IOB2, from any of the schemes.

    An entity begins where conlleval sees one: at B, S or U, after an E, L, S or U, and where the type changes. Raises
    `InputError` for a label of another form.
    """
    found = []
    before = _NOWHERE
    for label in labels:
        tag = _split(label)
        if tag is None:
            raise InputError(f"the label {label!r} is neither O nor one of B- I- E- L- S- U- with a type")
        begins = tag.position in STARTS or before.position in tuple(STOPS) or tag.type != before.type
        found.append(f"{'B' if begins else 'I'}-{tag.type}" if tag.type else OUTSIDE)
        before = tag
    return tuple(found)


def _split(label: str) -> _Tag | None:
    if label == OUTSIDE:
        return _NOWHERE
    position, dash, name = label.partition("-")
    return _Tag(position, name) if dash and name and position in tuple("BI" + SINGLE + END) else None
