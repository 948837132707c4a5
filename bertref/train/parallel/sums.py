"""Gradients, losses and figures of the whole batch from those of its shares.

A share divides its losses by the whole batch's denominators, so that shares add up, as chunks do. Gradients are added
in buckets: stretches of the parameters in their order, so that what is added to what never depends on timing. A bucket
is on its way while the next one is filled.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...arrays import Array, Namespace
from ...objectives import Figure, Outcome
from ..host_numbers import host_numbers
from .world import HostArray, World

BUCKET = 1 << 20
"""Elements from which on a bucket is full."""


def summed(world: World, xp: Namespace, grads: Mapping[str, Array]) -> dict[str, Array]:
    """The sums over all processes of gradients of one type, in the same order. `grads` are used up."""
    started = []
    for names in buckets({name: int(np.prod(g.shape)) for name, g in grads.items()}):
        flat = flattened([xp.to_numpy(grads[name]) for name in names])
        started.append((names, flat, world.all_reduce(flat)))
    found: dict[str, Array] = {}
    for names, flat, handle in started:
        handle.wait()
        start = 0
        for name in names:
            shape = grads[name].shape
            end = start + int(np.prod(shape))
            found[name] = xp.from_numpy(flat[start:end].reshape(shape))
            start = end
    return found


def flattened(arrays: Sequence[HostArray], length: int = 0) -> HostArray:
    """The arrays end to end, padded with zeros to `length`; the memory of a single one that is as long."""
    if len(arrays) == 1 and arrays[0].size >= length and arrays[0].flags.carray:
        return arrays[0].reshape(-1)
    parts = [array.reshape(-1) for array in arrays]
    padding = np.zeros(max(0, length - sum(map(len, parts))), arrays[0].dtype)
    return np.concatenate([*parts, padding])


def buckets(sizes: Mapping[str, int], full: int = BUCKET) -> Iterator[list[str]]:
    """Names in their order, cut where `full` elements or more have come together."""
    names: list[str] = []
    count = 0
    for name, size in sizes.items():
        names.append(name)
        count += size
        if count >= full:
            yield names
            names, count = [], 0
    if names:
        yield names


def summed_outcome(world: World, xp: Namespace, outcome: Outcome) -> Outcome:
    """Losses and figures of the whole batch, added in float64."""
    arrays = [*outcome.losses.values(), *(part for figure in outcome.figures.values() for part in figure)]
    sums = np.array(host_numbers(xp, arrays), np.float64)
    world.all_reduce(sums).wait()
    back = iter([xp.full_like(array, total) for array, total in zip(arrays, sums.tolist(), strict=True)])
    return Outcome(
        {name: next(back) for name in outcome.losses},
        {name: Figure(next(back), next(back)) for name in outcome.figures},
    )


def anywhere(world: World, flag: bool) -> bool:
    """Whether the flag is set in any process."""
    count = np.array([float(flag)])
    world.all_reduce(count).wait()
    return bool(count[0])
