"""Faster versions of this room's functions, which a backend may bring: the only place where one is chosen."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from ..arrays import Array, Namespace


class Update(Protocol):
    """What computes the same as the function of that name, for the arrays that it serves."""

    @property
    def compute(self) -> Callable[..., Any]: ...
    @property
    def serves(self) -> Callable[..., bool]: ...
    @property
    def decides(self) -> bool: ...


Updates = Mapping[str, Update]
"""Name of a function of this room -> its faster version."""


def chosen(
    updates: Updates | None, reference: Callable[..., Any], *arrays: Array, donate: bool = False
) -> Callable[..., Any]:
    """The faster version of `reference` if there is one for these arrays, else `reference` itself.

    `donate` gives the arrays away: a faster version may overwrite them with its results.
    """
    found = (updates or {}).get(reference.__name__)
    if found is None or not found.serves(*arrays):
        return reference
    return partial(found.compute, donate=True) if donate else found.compute


def decided(
    updates: Updates | None, update: Callable[..., Any], *arrays: Array, donate: bool, only_if: Array | None
) -> Callable[..., Any]:
    """As `chosen`, of the update of a parameter, (xp, p, g, *moments, ...) -> (p, *moments). Where `only_if`, a 0-d
    bool on the device, is false, p and its moments stay as they are, whatever g is."""
    if only_if is None:
        return chosen(updates, update, *arrays, donate=donate)
    found = (updates or {}).get(update.__name__)
    if found is not None and found.decides and found.serves(*arrays):
        return partial(chosen(updates, update, *arrays, donate=donate), only_if=only_if)
    compute = chosen(updates, update, *arrays)

    def either(xp: Namespace, p: Array, g: Array, *others: Array, **settings: Any) -> tuple[Array, ...]:
        made = compute(xp, p, g, *others, **settings)
        kept = (p, *others)[: len(made)]
        return tuple(xp.where(only_if, new, old) for new, old in zip(made, kept, strict=True))

    return either
