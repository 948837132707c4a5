"""Gradients, losses and figures of the whole batch from those of its shares.

A share divides its losses by the whole batch's denominators, so that shares add up, as chunks do. Gradients are added
in buckets: stretches of their buffers (`optim.flat`), so that what is added to what never depends on timing. A bucket
is under way as soon as its gradients are there, while backward goes on with the layers below.
"""

from collections.abc import Mapping

import numpy as np

from ...arrays import Array, Namespace
from ...objectives import Figure, Outcome
from ...optim.flat import Flat, FlatLayout, shapes_of
from ..host_numbers import host_numbers
from .world import Handle, World

BUCKET = 1 << 20
"""Elements of a bucket."""


class Buckets:
    """The sums over all processes of what gets into `flat`, of one type. Every process completes its arrays in the same
    order."""

    def __init__(self, world: World, xp: Namespace, flat: Flat) -> None:
        self._world, self._xp, self._flat = world, xp, flat
        self._early = all(map(world.takes, flat.buffers.values()))  # else what is sent is a copy, of all that is there
        self._sums: dict[str, Array] = {}
        self._started: list[Handle] = []
        self._missing = {
            buffer: [min(BUCKET, used - start) for start in range(0, used, BUCKET)]
            for buffer, used in ((buffer, flat.layout.used(buffer)) for buffer in flat.buffers)
        }

    def complete(self, name: str) -> None:
        """Starts the messages of the buckets that this array was missing in."""
        buffer, start, end = self._flat.layout.place(name)
        for number in range(start // BUCKET, -(-end // BUCKET)):
            there = min(end, (number + 1) * BUCKET) - max(start, number * BUCKET)
            self._missing[buffer][number] -= there
            if self._early and there and not self._missing[buffer][number]:
                self._start(buffer, number)

    def wait(self) -> Flat:
        """The sums, laid out as what they are of, which is used up. All arrays are complete."""
        if not self._early:
            for buffer, missing in self._missing.items():
                for number in range(len(missing)):
                    self._start(buffer, number)
        for handle in self._started:
            handle.wait()
        sums = {name: on_the_device(self._xp, array) for name, array in self._sums.items()}
        return Flat(self._xp, self._flat.layout, {**self._flat.buffers, **sums})

    def _start(self, buffer: str, number: int) -> None:
        if buffer not in self._sums:
            self._sums[buffer] = sendable(self._world, self._xp, self._flat.buffers[buffer])
        self._started.append(self._world.all_reduce(self._sums[buffer][number * BUCKET : (number + 1) * BUCKET]))


def summed(world: World, xp: Namespace, grads: Mapping[str, Array]) -> dict[str, Array]:
    """The sums over all processes of gradients of one type, that are in no buffers."""
    flat = FlatLayout.grouped(shapes_of(grads), lambda name: "").laid(xp, grads)
    buckets = Buckets(world, xp, flat)
    for name in flat:
        buckets.complete(name)
    return dict(buckets.wait())


def sendable(world: World, xp: Namespace, array: Array) -> Array:
    """The array where `world` takes it, else its values on the host; may be written to."""
    return array if world.takes(array) else np.require(xp.to_numpy(array), requirements=["C", "W"])


def on_the_device(xp: Namespace, array: Array) -> Array:
    """What `sendable` gave, as an array of the device."""
    return xp.from_numpy(array) if isinstance(array, np.ndarray) else array


def nothing(xp: Namespace, outcome: Outcome) -> Outcome:
    """What a process without an example adds: zeros under the names of another's."""
    losses = {name: xp.zeros_like(loss) for name, loss in outcome.losses.items()}
    return Outcome(losses, {name: Figure(*map(xp.zeros_like, figure)) for name, figure in outcome.figures.items()})


def summed_outcome(world: World, xp: Namespace, outcome: Outcome) -> Outcome:
    """Losses and figures of the whole batch, added in float64."""
    arrays = [*outcome.losses.values(), *(part for figure in outcome.figures.values() for part in figure)]
    if world.takes(arrays[0]):
        sums = xp.stack([xp.astype(array, xp.float64) for array in arrays])
        world.all_reduce(sums).wait()
        totals = [xp.astype(sums[i, ...], array.dtype) for i, array in enumerate(arrays)]
    else:
        sums = np.array(host_numbers(xp, arrays), np.float64)
        world.all_reduce(sums).wait()
        totals = [xp.full_like(array, total) for array, total in zip(arrays, sums.tolist(), strict=True)]
    back = iter(totals)
    return Outcome(
        {name: next(back) for name in outcome.losses},
        {name: Figure(next(back), next(back)) for name in outcome.figures},
    )


def anywhere(world: World, flag: bool) -> bool:
    """Whether the flag is set in any process."""
    count = np.array([float(flag)])
    world.all_reduce(count).wait()
    return bool(count[0])
