"""What an answer may be called, and the shape that it then has."""

import difflib
from collections.abc import Iterable

from ..graph.axes import AxesOf
from ..judgement.reference import answer_names
from ..records import Case

Shape = tuple[int, ...]


def answer_shapes(case: Case) -> dict[str, Shape]:
    """Canonical name -> shape of every answer that the case can have."""
    axes = AxesOf(case)
    return {name: axes(name).shape for name in answer_names(case)}


def similar(name: str, known: Iterable[str]) -> str:
    """A remark with the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else ""
