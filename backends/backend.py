"""What the rest of bertref knows of a backend."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..arrays import Array
from .namespace import Namespace


def _default_device(array: Array) -> str | None:
    return None


@dataclass(frozen=True)
class UpdateKernel:
    """A faster version of the function of that name in `bertref.optim`; `serves(*arrays)` says for which. `decides`:
    whether `compute` takes `only_if` (`Optimizer.update`)."""

    name: str
    compute: Callable[..., Any]
    serves: Callable[..., bool]
    decides: bool = False


@dataclass(frozen=True)
class Backend:
    """An array library on one device.

    name            "numpy", "torch", "cupy", ...
    device          "" for the only or the first one, else in the library's words: "cpu", "cuda:1", "1"
    xp              the functions that ops may call, see `bertref.backends.contract`
    dtypes          names of the floating dtypes that it computes in
    static_shapes   True where every new shape costs a compilation: the padded layout is wanted
    kernels         op name -> a faster pair for the same op
    updates         name of a function of `bertref.optim` -> a faster version of it (`bertref.optim.faster`)
    share           calls a function with 0 to n - 1, several at once, on threads of its own; None: it has none
    draw            makes a `bertref.dropout.DrawnDropout`, which decides on the device; None: the host decides
    native          makes one that decides by the device's own generator: other decisions; None: it has none
    freeze          makes arrays read-only, so that kernels may keep what they make of them; None: it has no use for it
    array_modules   the top-level modules that its array classes come from, by which `of` recognises them
    device_of       tells the device of one of its arrays, as `device` is written
    """

    name: str
    device: str
    xp: Namespace
    dtypes: tuple[str, ...]
    static_shapes: bool = False
    kernels: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    updates: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    share: Callable[[Callable[[int], None], int], None] | None = None
    draw: Callable[..., Any] | None = None
    native: Callable[..., Any] | None = None
    freeze: Callable[[Iterable[Array]], None] | None = None
    array_modules: tuple[str, ...] = ()
    device_of: Callable[[Array], str | None] = _default_device

    @property
    def spec(self) -> str:
        """The text that `get` turns into this backend: "numpy", "torch:cuda"."""
        return f"{self.name}:{self.device}" if self.device else self.name
