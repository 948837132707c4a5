"""Faster versions of this room's functions, which a backend may bring: the only place where one is chosen."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from ..arrays import Array


class Update(Protocol):
    """What computes the same as the function of that name, for the arrays that it serves."""

    @property
    def compute(self) -> Callable[..., Any]: ...
    @property
    def serves(self) -> Callable[..., bool]: ...


Updates = Mapping[str, Update]
"""Name of a function of this room -> its faster version."""


def chosen(
    updates: Updates | None, reference: Callable[..., Any], *arrays: Array, donate: bool = False
) -> Callable[..., Any]:
    """The faster version of `reference` if there is one for these arrays, else `reference` itself.

    `donate` gives the arrays away: a faster version may overwrite them with its results. That of an optimiser's rule
    also takes `factor`, None or a 0-d array, by which it multiplies the gradient when it reads it.
    """
    found = (updates or {}).get(reference.__name__)
    if found is None or not found.serves(*arrays):
        return reference
    return partial(found.compute, donate=True) if donate else found.compute
