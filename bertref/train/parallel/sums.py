"""Gradients, losses and figures of the whole batch from those of its shares.

A share divides its losses by the whole batch's denominators, so that shares add up, as chunks do. Gradients are added
in buckets: stretches of their buffers (`optim.flat`), so that what is added to what never depends on timing.
"""

from collections.abc import Mapping

import numpy as np

from ...arrays import Array, Namespace
from ...objectives import Figure, Outcome
from ...optim.flat import Flat, FlatLayout, each, shapes_of
from ..host_numbers import host_numbers
from .world import HostArray, World

BUCKET = 1 << 20
"""Elements of a bucket."""


def summed(world: World, xp: Namespace, grads: Mapping[str, Array]) -> dict[str, Array]:
    """The sums over all processes of gradients of one type, laid out as they are. `grads` are used up."""
    flat = grads if isinstance(grads, Flat) else FlatLayout.grouped(shapes_of(grads), lambda name: "").laid(xp, grads)
    hosts = {name: on_the_host(xp, buffer) for name, buffer in flat.buffers.items()}
    started = [
        world.all_reduce(host[start : start + BUCKET])
        for host in hosts.values() for start in range(0, len(host), BUCKET)
    ]  # fmt: skip
    for handle in started:
        handle.wait()
    found = Flat(xp, flat.layout, {name: xp.from_numpy(host) for name, host in hosts.items()})
    return found if isinstance(grads, Flat) else dict(found)


def on_the_host(xp: Namespace, array: Array) -> HostArray:
    """The values in an array that may be written to: its own memory where that can be."""
    return np.require(xp.to_numpy(array), requirements=["C", "W"])


def nothing(xp: Namespace, outcome: Outcome, grads: dict[str, Array]) -> tuple[Outcome, dict[str, Array]]:
    """What a process without an example adds: zeros under the names of another's."""
    losses = {name: xp.zeros_like(loss) for name, loss in outcome.losses.items()}
    figures = {name: Figure(*map(xp.zeros_like, figure)) for name, figure in outcome.figures.items()}
    return Outcome(losses, figures), each(xp, grads, xp.zeros_like)


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
