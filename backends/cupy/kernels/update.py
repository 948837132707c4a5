"""The optimisers' updates, clipped: each element is read once and written once, in float32.

The formulas are those of `bertref.optim` (adam, lamb, norms); this room may not import them, and a test compares. No
number passes the host: rates, corrections and the factor of clipping stay 0-d arrays on the device.

`donate=True` gives the arguments away: results take their memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ....arrays import Array, Namespace
from ...backend import UpdateKernel
from .device import Device, Shape, ceil_div

THREADS = 256
"""Of a block of update.cu."""


def updates(device: Device) -> dict[str, UpdateKernel]:
    """The passes over parameters that a device makes faster."""

    def serves(*arrays: Any) -> bool:
        """Arrays of one shape in float32."""
        alike = device.serves(*arrays) and all(a.shape == arrays[0].shape for a in arrays)
        return alike and arrays[0].dtype == np.float32 and arrays[0].size > 0

    passes = _Passes(device)
    rules: dict[str, Callable[..., Any]] = {
        "adamw_update": passes.adamw,
        "google_update": passes.google,
        "lamb_update": passes.lamb,
    }
    found = {name: UpdateKernel(name, compute, serves, decides=True) for name, compute in rules.items()}
    return found | {"squared_norm": UpdateKernel("squared_norm", passes.squared_norm, serves)}


class _Passes:
    """The functions of `bertref.optim`, with their arguments, on a device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def google(
        self, xp: Namespace, p: Array, g: Array, m: Array, v: Array, rate: Any,
        *, beta1: float, beta2: float, epsilon: float, weight_decay: float, factor: Any = None, donate: bool = False,
        only_if: Array | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """p' = p - η (m' / (√v' + ε) + λ p)"""
        settings = _settings(beta1, beta2, epsilon, weight_decay)
        return self._adam(p, g, m, v, (rate, None, None, factor), settings, donate, only_if)

    def adamw(
        self, xp: Namespace, p: Array, g: Array, m: Array, v: Array, rate: Any, correction1: Any, correction2: Any,
        *, beta1: float, beta2: float, epsilon: float, weight_decay: float, factor: Any = None, donate: bool = False,
        only_if: Array | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """p' = (1 - η λ) p - η (m'/c₁) / (√(v'/c₂) + ε)"""
        settings = _settings(beta1, beta2, epsilon, weight_decay)
        return self._adam(p, g, m, v, (rate, correction1, correction2, factor), settings, donate, only_if)

    def _adam(
        self, p: Array, g: Array, m: Array, v: Array, numbers: tuple[Any, ...], settings: tuple[np.float32, ...],
        donate: bool, only_if: Array | None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        p, m, v = (self._writable(a, donate) for a in (p, m, v))
        read = (*(self._number(a) for a in numbers), only_if)
        self._launch("adam", p.size, p, self.device.contiguous(g), m, v, *read, np.int64(p.size), *settings)
        return p, m, v

    def lamb(
        self, xp: Namespace, p: Array, g: Array, m: Array, v: Array, rate: Any, correction1: Any, correction2: Any,
        *, beta1: float, beta2: float, epsilon: float, weight_decay: float, adapt: bool = True, factor: Any = None,
        donate: bool = False, only_if: Array | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """p' = p - η ‖p‖/‖u‖ u with u = (m'/c₁) / (√(v'/c₂) + ε) + λ p"""
        p, m, v = (self._writable(a, donate) for a in (p, m, v))
        size, u = np.int64(p.size), self.device.empty(p.shape, np.float32)
        parts = self.device.empty((2, self._blocks(p.size)), np.float32)
        settings = _settings(beta1, beta2, epsilon, weight_decay)
        numbers = map(self._number, (correction1, correction2, factor))
        g = self.device.contiguous(g)
        self._launch("lamb_direction", p.size, p, g, m, v, u, *numbers, only_if, parts, size, *settings)
        self._launch("lamb_apply", p.size, p, u, parts, self._number(rate), only_if, size, np.int32(adapt))
        return p, m, v

    def squared_norm(self, xp: Namespace, a: Array) -> Array:
        """Σ a², a 0-d array."""
        parts, out = self.device.empty((self._blocks(a.size),), np.float32), self.device.empty((), np.float32)
        self._launch("squares", a.size, self.device.contiguous(a), parts, np.int64(a.size))
        self.device.launch("update", "total", Shape((1, 1), (THREADS, 1)), parts, out, np.int32(len(parts)))
        return out

    def _launch(self, kernel: str, size: int, *arguments: Any) -> None:
        self.device.launch("update", kernel, Shape((self._blocks(size), 1), (THREADS, 1)), *arguments)

    def _blocks(self, size: int) -> int:
        return min(ceil_div(size, THREADS * self.device.tuning.update_elements), self.device.tuning.update_blocks)

    def _writable(self, a: Array, donate: bool) -> Array:
        """The array itself if it is given away, or a copy, in C order."""
        if not donate:
            return self.device.library.array(a, order="C")
        return self.device.contiguous(a)

    def _number(self, value: Any) -> Any:
        """A number as a 0-d array on the device; None stays None."""
        return None if value is None else self.device.library.asarray(value, dtype=np.float32)


def _settings(beta1: float, beta2: float, epsilon: float, weight_decay: float) -> tuple[np.float32, ...]:
    """1 - β is taken before it is rounded: of 0.999 a float32 keeps four digits of that."""
    return tuple(np.float32(x) for x in (beta1, beta2, 1 - beta1, 1 - beta2, epsilon, weight_decay))
