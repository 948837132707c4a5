"""What an answer may be called, and the shape that it then has."""

import difflib
from collections.abc import Iterable

from ...heads import parameter_shapes
from ...topology import rows
from ..records import Case
from .settings import sizes

Shape = tuple[int, ...]


def answer_shapes(case: Case) -> dict[str, Shape]:
    """Canonical name -> shape of every answer that the case can have."""
    letters = {**sizes(case), "2": 2}
    shapes = {row.name: tuple(letters[letter] for letter in row.axes.split()) for row in rows(case.config)}
    grads = {f"grad:{name}": shape for name, shape in shapes.items()}
    params = parameter_shapes(case.config)
    return {
        **shapes,
        **grads,
        **{f"grad:{name}": shape for name, shape in params.items()},
        **({f"update:{name}": shape for name, shape in params.items()} if case.optimizer else {}),
    }


def similar(name: str, known: Iterable[str]) -> str:
    """A remark with the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else ""
