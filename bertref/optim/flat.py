"""Arrays laid end to end in a few buffers, each of them a view of its part.

    buffer "w1":    | w1 ........ | w2 .... | w3 ................ | 0 |

What is done to every element alike (an update, a norm, a cast, a message to other processes) is then done to a few
buffers, in place of hundreds of arrays, and neighbours are one array: the weights of query, key and value a matrix
(3H, H). A buffer bears the name of one of its arrays, so whatever a name decides (the decay, the rate, the moments'
names) is decided for a buffer as for a parameter: functions over dicts of parameters take dicts of buffers.

The arrays of a buffer lie in the order of the names, so that backward fills it from its end on; those whose size would
shift what follows off a multiple of `ALIGNED` elements come last.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping

from ..arrays import Array, Namespace
from ..params import Shape, joined
from .faster import Updates, chosen

ALIGNED = 16
"""Elements: 64 bytes of float32, and a vector of any kernel's in every type."""


class FlatLayout:
    """Where arrays of these shapes lie: `buffers` are their names in order, by the name of the buffer. The length of a
    buffer is a multiple of `multiple`, by zeros at its end."""

    def __init__(
        self, shapes: Mapping[str, Shape], buffers: Mapping[str, Iterable[str]], multiple: int = 1
    ) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.buffers = {buffer: tuple(names) for buffer, names in buffers.items()}
        self.multiple = multiple
        self.lengths: dict[str, int] = {}
        self._places: dict[str, tuple[str, int, int]] = {}
        for buffer, names in self.buffers.items():
            end = 0
            for name in names:
                start, end = end, end + math.prod(self.shapes[name])
                self._places[name] = buffer, start, end
            self.lengths[buffer] = end + -end % multiple

    @classmethod
    def grouped(cls, shapes: Mapping[str, Shape], alike: Callable[[str], Hashable], multiple: int = 1) -> "FlatLayout":
        """A buffer for all names of which `alike` says the same."""
        groups: dict[Hashable, list[str]] = {}
        for name in shapes:
            groups.setdefault(alike(name), []).append(name)
        ordered = [sorted(names, key=lambda name: math.prod(shapes[name]) % ALIGNED != 0) for names in groups.values()]
        return cls(shapes, {names[0]: names for names in ordered}, multiple)

    def times(self, kinds: Iterable[str]) -> "FlatLayout":
        """That of arrays NAME/KIND, every kind laid out like this."""
        kinds = tuple(kinds)
        return FlatLayout(
            {f"{name}/{kind}": shape for name, shape in self.shapes.items() for kind in kinds},
            {f"{buffer}/{kind}": [f"{name}/{kind}" for name in names]
             for buffer, names in self.buffers.items() for kind in kinds},
            self.multiple,
        )  # fmt: skip

    def only(self, wanted: Callable[[str], bool]) -> "FlatLayout":
        """That of the wanted buffers and their arrays."""
        buffers = {buffer: names for buffer, names in self.buffers.items() if wanted(buffer)}
        inside = {name for names in buffers.values() for name in names}
        return FlatLayout({name: s for name, s in self.shapes.items() if name in inside}, buffers, self.multiple)

    def laid(self, xp: Namespace, arrays: Mapping[str, Array]) -> "Flat":
        """Copies of the arrays, which may be more than these, laid out."""
        return Flat(xp, self, {
            buffer: end_to_end(xp, *(arrays[name] for name in names), length=self.lengths[buffer])
            for buffer, names in self.buffers.items()
        })  # fmt: skip

    def blank(self, xp: Namespace, dtype: str, updates: Updates | None = None) -> "Flat":
        """Arrays of that type to be written to, whatever they hold, laid out; `updates` as in `faster`."""
        found = {}
        for buffer, length in self.lengths.items():
            found[buffer] = chosen(updates, blank)(xp, length, dtype)
            found[buffer][self.used(buffer) :] = 0
        return Flat(xp, self, found)

    def used(self, buffer: str) -> int:
        """Where the last array of a buffer ends, and zeros begin."""
        return max((self._places[name][2] for name in self.buffers[buffer]), default=0)

    def place(self, name: str) -> tuple[str, int, int]:
        """The buffer of an array, and from where to where it lies there."""
        return self._places[name]

    def spanned(self, names: Iterable[str]) -> tuple[str, int, int] | None:
        """The place of several arrays together, if they are neighbours in that order; else None."""
        places = [self._places[name] for name in names]
        follow = all(a[0] == b[0] and a[2] == b[1] for a, b in itertools.pairwise(places))
        return (places[0][0], places[0][1], places[-1][2]) if follow else None


class Flat(dict[str, Array]):
    """Arrays by name, views of `buffers` where the library has views; nothing is set or taken out."""

    def __init__(self, xp: Namespace, layout: FlatLayout, buffers: Mapping[str, Array]) -> None:
        self.layout, self.buffers = layout, dict(buffers)
        views = {}
        for name, shape in layout.shapes.items():
            buffer, start, end = layout.place(name)
            views[name] = xp.reshape(self.buffers[buffer][start:end], shape)
        super().__init__(views)

    def spanned(self, xp: Namespace, names: Iterable[str]) -> Array | None:
        """Arrays of one shape below each other, (n rows, ...), if they are neighbours in that order; else None."""
        names = list(names)
        place = self.layout.spanned(names)
        if place is None:
            return None
        buffer, start, end = place
        rows, *others = self.layout.shapes[names[0]]
        return xp.reshape(self.buffers[buffer][start:end], (len(names) * rows, *others))


def end_to_end(xp: Namespace, *arrays: Array, length: int) -> Array:
    """The elements of arrays of one type, one array after the other, and zeros up to `length`: (length)."""
    parts = [xp.reshape(array, (-1,)) for array in arrays]
    missing = length - sum(math.prod(array.shape) for array in arrays)
    return xp.concat([*parts, *([xp.zeros((missing,), dtype=arrays[0].dtype)] if missing else [])])


def blank(xp: Namespace, length: int, dtype: str) -> Array:
    """An array (length) to be written to."""
    return xp.zeros((length,), dtype=xp.dtype(dtype))


def shapes_of(arrays: Mapping[str, Array]) -> dict[str, Shape]:
    """By name."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def buffers(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """The buffers of flat arrays; of others the arrays themselves."""
    return arrays.buffers if isinstance(arrays, Flat) else arrays


def with_buffers(xp: Namespace, arrays: Mapping[str, Array], changed: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays laid out like `arrays`, whose `buffers` are the changed ones; `arrays` itself where these are the same."""
    if not isinstance(arrays, Flat):
        return dict(changed)
    if all(changed[name] is buffer for name, buffer in arrays.buffers.items()):
        return arrays
    return Flat(xp, arrays.layout, changed)


def each(xp: Namespace, arrays: Mapping[str, Array], change: Callable[[Array], Array]) -> dict[str, Array]:
    """`change` of every buffer, or array."""
    return with_buffers(xp, arrays, {name: change(array) for name, array in buffers(arrays).items()})


def with_joined(xp: Namespace, params: dict[str, Array]) -> dict[str, Array]:
    """The parameters, and those of query, key and value as one where they are neighbours (`layers.projections`)."""
    if not isinstance(params, Flat):
        return params
    found = {name: params.spanned(xp, names) for name, names in joined(params)}
    return {**params, **{name: array for name, array in found.items() if array is not None}}
