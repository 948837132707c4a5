"""The optimiser's work shared out: each process keeps the moments of its part of the parameters, updates that part, and
gets the other parts from the others.

A bucket of parameters (`sums.buckets`) is laid flat, padded with zeros to a multiple of the number of processes, and
cut into as many equal parts; part r belongs to process r. What of a parameter lies in a part is a piece: an array of
one axis. With N processes each holds 1/N of the moments. As much is sent as without: a sum over all is a sum of the
parts, each in one process, and the parts handed round; here the update comes between the two.

The norm is made of the parts' norms and rounds otherwise than the whole one. An update that needs a whole parameter
(`UpdateRule.whole`) can't be made of pieces.

Source: Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", section 5.1.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...arrays import Array, Namespace
from ...errors import InputError
from ...optim import Optimizer
from .sums import buckets, flattened
from .world import HostArray, World

Pieces = dict[str, Array]
"""Name -> the piece of that parameter (or gradient) that belongs to this process; none where it has none."""


@dataclass(frozen=True)
class _Place:
    """Where a parameter lies in its flat bucket."""

    name: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class _Bucket:
    """`part` elements belong to each process."""

    places: tuple[_Place, ...]
    part: int

    def pieces(self, rank: int) -> Iterator[tuple[_Place, int, int]]:
        """Of each parameter that has some: from which to which of its elements belong to a process."""
        first, last = rank * self.part, (rank + 1) * self.part
        for place in self.places:
            start, end = max(place.start, first), min(place.end, last)
            if start < end:
                yield place, start - place.start, end - place.start


class Shards:
    """The parts of parameters with these shapes; every process has the same ones."""

    def __init__(self, world: World, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._world, self._names = world, list(shapes)
        sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
        self._buckets = [_bucket(world.size, names, shapes, sizes) for names in buckets(sizes)]

    def own(self, xp: Namespace, arrays: Mapping[str, Array]) -> Pieces:
        """The pieces of whole arrays that belong to this process: views, where the library has them."""
        return {
            place.name: xp.reshape(arrays[place.name], (-1,))[start:end]
            for bucket in self._buckets for place, start, end in bucket.pieces(self._world.rank)
        }  # fmt: skip

    def summed(self, xp: Namespace, grads: Mapping[str, Array]) -> Pieces:
        """The pieces, that belong to this process, of the sums over all processes. `grads` are used up; a parameter
        that has none, because the batch does not reach it, has no sum."""
        dtype = xp.to_numpy(next(iter(grads.values()))).dtype
        started = []
        for bucket in self._buckets:
            host = [
                xp.to_numpy(grads[place.name]) if place.name in grads else np.zeros(place.shape, dtype)
                for place in bucket.places
            ]
            flat, part = flattened(host, bucket.part * self._world.size), np.empty(bucket.part, dtype)
            started.append((bucket, part, self._world.reduce_scatter(flat, part)))
        found: Pieces = {}
        for bucket, part, handle in started:
            handle.wait()
            found |= self._cut(xp, bucket, part)
        return {name: piece for name, piece in found.items() if name in grads}

    def whole(self, xp: Namespace, pieces: Pieces, dtype: str) -> dict[str, Array]:
        """Whole arrays of that type from the pieces of all processes, some of which may have none."""
        started = []
        for bucket in self._buckets:
            flat = np.empty(bucket.part * self._world.size, dtype)
            for place, start, end in bucket.pieces(self._world.rank):
                flat[place.start + start : place.start + end] = xp.to_numpy(pieces[place.name])
            flat[bucket.places[-1].end :] = 0
            started.append((bucket, flat, self._world.all_gather(flat)))
        found: dict[str, Array] = {}
        for bucket, flat, handle in started:
            handle.wait()
            for place in bucket.places:
                found[place.name] = xp.from_numpy(flat[place.start : place.end].reshape(place.shape))
        return found

    def own_moments(self, xp: Namespace, moments: Mapping[str, Array]) -> Pieces:
        """As `own`, of the optimiser's moments NAME/KIND."""
        return {
            f"{name}/{kind}": piece
            for kind, arrays in _by_kind(moments).items() for name, piece in self.own(xp, arrays).items()
        }  # fmt: skip

    def whole_moments(self, xp: Namespace, moments: Pieces, kinds: Iterable[str]) -> dict[str, Array]:
        """As `whole`, of the optimiser's moments NAME/KIND, in the order of the parameters."""
        dtypes = self._world.collect([str(xp.to_numpy(piece).dtype) for piece in moments.values()])
        dtype = next(own[0] for own in dtypes if own)
        found = {kind: self.whole(xp, _by_kind(moments).get(kind, {}), dtype) for kind in kinds}
        return {f"{name}/{kind}": found[kind][name] for name in self._names for kind in kinds}

    def norm(self, xp: Namespace, own: Array, dtype: str) -> Array:
        """The norm of all pieces of a type from that of those of this process, which may have none: (), float32 or
        float64."""
        square = np.array([float(xp.to_numpy(own)) ** 2])
        self._world.all_reduce(square).wait()
        return xp.full((), float(np.sqrt(square[0])), dtype=xp.dtype("float64" if dtype == "float64" else "float32"))

    def _cut(self, xp: Namespace, bucket: _Bucket, part: HostArray) -> Pieces:
        first = self._world.rank * bucket.part
        return {
            place.name: xp.from_numpy(part[place.start + start - first : place.start + end - first])
            for place, start, end in bucket.pieces(self._world.rank)
        }


def must_take_pieces(optimizer: Optimizer) -> None:
    """Raises `InputError` for an optimiser that needs whole parameters."""
    if optimizer.rule.whole:
        raise InputError(
            f"--shard-optimizer cuts parameters into pieces, but {optimizer.kind} needs them whole; leave it out"
        )


def _by_kind(moments: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for key, array in moments.items():
        name, _, kind = key.rpartition("/")
        found.setdefault(kind, {})[name] = array
    return found


def _bucket(
    processes: int, names: list[str], shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int]
) -> _Bucket:
    places, end = [], 0
    for name in names:
        start, end = end, end + sizes[name]
        places.append(_Place(name, tuple(shapes[name]), start, end))
    return _Bucket(tuple(places), -(-end // processes))
