"""The optimiser's work shared out: each process keeps the moments of its part of the parameters, updates that part, and
gets the other parts from the others.

Every buffer of parameters (`optim.flat`) is cut into as many equal parts as there are processes; part r belongs to
process r, an array of one axis. With N processes each holds 1/N of the moments. As much is sent as without: a sum over
all is a sum of the parts, each in one process, and the parts handed round; here the update comes between the two.

The norm is made of the parts' norms and rounds otherwise than the whole one. An update that needs a whole parameter
(`UpdateRule.whole`) can't be made of parts.

Source: Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", section 5.1.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from ...arrays import Array, Namespace
from ...errors import InputError
from ...optim import Optimizer
from ...optim.flat import Flat, FlatLayout, buffers
from .sums import on_the_device, sendable
from .world import World

Pieces = dict[str, Array]
"""Buffer -> the part of it that belongs to this process."""


class Shards:
    """The parts of parameters that lie so; every process has the same layout, whose `multiple` is the processes'
    number. `kinds` below are those of moments NAME/KIND, () where parameters are meant."""

    def __init__(self, world: World, layout: FlatLayout) -> None:
        self._world, self._layout = world, layout

    def own(self, xp: Namespace, arrays: Mapping[str, Array], kinds: Iterable[str] = ()) -> Pieces:
        """The parts of whole arrays that belong to this process: views, where the library has them."""
        return {name: buffer[self._part(len(buffer))] for name, buffer in self._buffers(xp, arrays, kinds).items()}

    def summed(self, xp: Namespace, grads: Mapping[str, Array]) -> Pieces:
        """The parts, that belong to this process, of the sums over all processes. `grads` are used up; where there are
        none, because nothing learns, there is no sum."""
        parts, started = {}, []
        for name, buffer in self._buffers(xp, grads).items():
            given = sendable(self._world, xp, buffer)
            parts[name] = _blank(xp, given, len(given) // self._world.size)
            started.append(self._world.reduce_scatter(given, parts[name]))
        for handle in started:
            handle.wait()
        return {name: on_the_device(xp, part) for name, part in parts.items()}

    def whole(self, xp: Namespace, pieces: Pieces, kinds: Iterable[str] = ()) -> Flat:
        """Whole arrays from the parts of all processes."""
        found, started = {}, []
        for name, piece in pieces.items():
            part = sendable(self._world, xp, piece)
            found[name] = _blank(xp, part, len(part) * self._world.size)
            found[name][self._part(len(found[name]))] = part
            started.append(self._world.all_gather(found[name]))
        for handle in started:
            handle.wait()
        layout = self._laid_out(kinds).only(lambda buffer: buffer in pieces)
        return Flat(xp, layout, {name: on_the_device(xp, array) for name, array in found.items()})

    def norm(self, xp: Namespace, own: Array, dtype: str) -> Array:
        """The norm of all parts of a type from that of those of this process: (), float32 or float64."""
        made = xp.dtype("float64" if dtype == "float64" else "float32")
        if xp.asynchronous and self._world.takes(own):  # else its value is there, or waited for
            square = xp.reshape(xp.square(xp.astype(own, xp.float64)), (1,))
            self._world.all_reduce(square).wait()
            return xp.astype(xp.sqrt(square), made)[0, ...]
        square = np.array([float(xp.to_numpy(own)) ** 2])
        self._world.all_reduce(square).wait()
        return xp.full((), float(np.sqrt(square[0])), dtype=made)

    def _part(self, length: int) -> slice:
        """Which of a buffer's elements belong to this process."""
        part = length // self._world.size
        return slice(self._world.rank * part, (self._world.rank + 1) * part)

    def _laid_out(self, kinds: Iterable[str]) -> FlatLayout:
        return self._layout.times(kinds) if kinds else self._layout

    def _buffers(self, xp: Namespace, arrays: Mapping[str, Array], kinds: Iterable[str] = ()) -> Mapping[str, Array]:
        """Those of flat arrays, or of others that are laid out now."""
        if isinstance(arrays, Flat):
            return buffers(arrays)
        return self._laid_out(kinds).only(lambda buffer: buffer in arrays).laid(xp, arrays).buffers


def _blank(xp: Namespace, like: Array, length: int) -> Array:
    """An array (length) to be written to, where `like` lies."""
    return np.empty(length, like.dtype) if isinstance(like, np.ndarray) else xp.zeros((length,), dtype=like.dtype)


def must_take_pieces(optimizer: Optimizer) -> None:
    """Raises `InputError` for an optimiser that needs whole parameters."""
    if optimizer.rule.whole:
        raise InputError(
            f"--shard-optimizer cuts parameters into pieces, but {optimizer.kind} needs them whole; leave it out"
        )
