"""Faster versions of this room's functions, which a backend may bring: the only place where one is chosen."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from ..arrays import Array, Namespace
from .norms import scaled


class Update(Protocol):
    """What computes the same as the function of that name, for the arrays that it serves. That of an optimiser's rule
    takes `factor` as well (see `decided`), and `only_if`, too, where it `decides`."""

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
    updates: Updates | None, update: Callable[..., Any], *arrays: Array,
    donate: bool, factor: Array | None, only_if: Array | None,
) -> Callable[..., Any]:  # fmt: skip
    """As `chosen`, of the update of a parameter, (xp, p, g, *moments, ...) -> (p, *moments), for the gradient times
    `factor`, a 0-d array, if there is one. Where `only_if`, a 0-d bool on the device, is false, p and its moments stay
    as they are, whatever g is."""
    found = (updates or {}).get(update.__name__)
    served = found is not None and found.serves(*arrays)
    decides = only_if is None or (found is not None and served and found.decides)
    compute = chosen(updates, update, *arrays, donate=donate and decides)
    compute = partial(compute, factor=factor) if served else _clipped(update, factor)
    if only_if is None:
        return compute
    return partial(compute, only_if=only_if) if decides else _either(compute, only_if)


def _clipped(update: Callable[..., Any], factor: Array | None) -> Callable[..., Any]:
    """The update, of a gradient that is multiplied first."""
    if factor is None:
        return update
    return lambda xp, p, g, *others, **settings: update(xp, p, scaled(xp, g, factor), *others, **settings)


def _either(update: Callable[..., Any], only_if: Array) -> Callable[..., Any]:
    """What the update makes, or what it was made of."""

    def either(xp: Namespace, p: Array, g: Array, *others: Array, **settings: Any) -> tuple[Array, ...]:
        made = update(xp, p, g, *others, **settings)
        kept = (p, *others)[: len(made)]
        return tuple(xp.where(only_if, new, old) for new, old in zip(made, kept, strict=True))

    return either
