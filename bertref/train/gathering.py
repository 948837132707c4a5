"""Where the gradients of a step gather: those of several chunks of a batch are added up.

In buffers they are put while backward makes them, so that they are nowhere else for longer than a layer, and what is
complete may be sent to other processes meanwhile:

    backward of layer N ---> buffers ---> messages
    backward of layer N - 1 ...
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ..arrays import Array, Namespace
from ..objectives import ordered
from ..optim import accumulate
from ..optim.flat import Flat
from ..precision import cast


class Gathering(Protocol):
    """Takes the gradients of every chunk. Those that don't learn are left out; where the share of a process is empty,
    not `counted`, zeros stand for all."""

    def take(self, grads: Mapping[str, Array]) -> dict[str, Array]:
        """Adds gradients. What is returned stands in their place from now on; once taken, they are not added again."""
        ...

    def all(self) -> dict[str, Array]:
        """The sums."""
        ...


class InBuffers:
    """`Gathering` in `flat`, which holds anything before. Every gradient comes `times` times; `complete` is called with
    its name when it has."""

    def __init__(
        self, flat: Flat, times: int, complete: Callable[[str], None] | None = None, *, counted: bool = True
    ) -> None:
        self._flat, self._times, self._complete, self._counted = flat, times, complete, counted
        self._missing = dict.fromkeys(flat, times)

    def take(self, grads: Mapping[str, Array]) -> dict[str, Array]:
        return {name: self._taken(name, grad) for name, grad in grads.items()}

    def _taken(self, name: str, grad: Array) -> Array:
        there = self._flat.get(name)
        if there is None or there is grad:
            return grad
        if self._missing[name] == self._times:
            there[...] = grad if self._counted else 0
        elif self._counted:
            there += grad
        self._missing[name] -= 1
        if not self._missing[name] and self._complete:
            self._complete(name)
        return there

    def all(self) -> dict[str, Array]:
        """Raises `KeyError` if a gradient has not come as often as it should."""
        late = sorted(name for name, missing in self._missing.items() if missing)
        if late:
            raise KeyError(f"gradients that are missing: {', '.join(late)}")
        return self._flat


class OneByOne:
    """`Gathering` of arrays, for the parameters `names`, in that order."""

    def __init__(self, xp: Namespace, names: Iterable[str], dtype: str, *, counted: bool = True) -> None:
        self._xp, self._names, self._dtype, self._counted = xp, list(names), dtype, counted
        self._total: dict[str, Array] | None = None

    def take(self, grads: Mapping[str, Array]) -> dict[str, Array]:
        self._total = accumulate(self._total, cast(self._xp, grads, self._dtype))
        return dict(grads)

    def all(self) -> dict[str, Array]:
        assert self._total is not None  # there is at least one chunk
        found = ordered(self._total, self._names)
        return found if self._counted else {name: self._xp.zeros_like(grad) for name, grad in found.items()}
