"""Mutated twins: ops that are wrong in one declared way, which the checks of the real op must reject.

A twin replaces either the forward or the backward. What it may change is declared (`changes`: names of gradients, or
"output", each with the place where), and `test_twins` proves that it changes that and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import OPS, Op

Place = Callable[[np.ndarray], np.ndarray]
"""Expected values -> where a twin may differ from them (boolean, of their shape)."""
Wrong = Callable[[Op, Any, dict[str, Any]], Any]
"""(op, xp, arguments) -> a wrong output."""
WrongGradients = Callable[[Op, Any, Any, Any], dict[str, Any]]
"""(op, xp, dy, cache) -> the wrong gradients by name; the others stay."""


def everywhere(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape, dtype=bool)


def last_column(values: np.ndarray) -> np.ndarray:
    where = np.zeros(values.shape, dtype=bool)
    where[..., -1:] = True
    return where


def last_row(values: np.ndarray) -> np.ndarray:
    where = np.zeros(values.shape, dtype=bool)
    where[-1:] = True
    return where


def first_row(values: np.ndarray) -> np.ndarray:
    where = np.zeros(values.shape, dtype=bool)
    where[:1] = True
    return where


@dataclass(frozen=True)
class Twin:
    """A wrong op. `witness` is a case on which it differs where it agrees with the op on every golden."""

    op: str
    name: str
    wrong: Op
    changes: dict[str, Place]
    witness: list[tuple[OpCase, Any]] = field(default_factory=list)

    @property
    def side(self) -> str:
        return "forward" if "output" in self.changes else "backward"


def wrong_forward(
    op: str, name: str, wrong: Wrong, place: Place = everywhere, witness: list[tuple[OpCase, Any]] | None = None
) -> Twin:
    """`wrong` computes the output; the cache stays the real one, so that backward can't give it away."""
    real = OPS[op]

    def forward(xp: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
        if args:
            raise TypeError("the tests pass arguments by name")
        _, cache = real.forward(xp, **options)
        return wrong(real, xp, options), cache

    return Twin(op, name, Op(op, forward, real.backward, real.probes), {"output": place}, witness or [])


def wrong_backward(
    op: str,
    name: str,
    wrong: WrongGradients,
    changes: dict[str, Place],
    witness: list[tuple[OpCase, Any]] | None = None,
) -> Twin:
    """`wrong` computes the gradients that `changes` names."""
    real = OPS[op]

    def backward(xp: Any, dy: Any, cache: Any) -> Any:
        return real.backward(xp, dy, cache)._replace(**wrong(real, xp, dy, cache))

    return Twin(op, name, Op(op, real.forward, backward, real.probes), changes, witness or [])


def scaled(xp: Any, x: Any, place: Place = everywhere, factor: float = 1.001) -> Any:
    """x, off by a thousandth in some place."""
    return xp.where(xp.from_numpy(place(xp.to_numpy(x))), x * factor, x)


def output_of(op: Op, xp: Any, arguments: dict[str, Any], **changed: Any) -> Any:
    """The real op's output for other arguments."""
    return op.forward(xp, **{**arguments, **changed})[0]


def scaled_forward(op: str, place: Place = everywhere) -> Twin:
    name = f"a thousandth too large, {place.__name__}"
    return wrong_forward(op, name, lambda op, xp, a: scaled(xp, output_of(op, xp, a), place), place)


def scaled_backward(op: str, gradient: str, place: Place = everywhere) -> Twin:
    def wrong(op: Op, xp: Any, dy: Any, cache: Any) -> dict[str, Any]:
        return {gradient: scaled(xp, getattr(op.backward(xp, dy, cache), gradient), place)}

    return wrong_backward(op, f"{gradient} a thousandth too large, {place.__name__}", wrong, {gradient: place})


def overwritten(xp: Any, shape: tuple[int, ...], index: Any, values: Any) -> Any:
    """Rows of `values` stored, not added, at `index`: of duplicates only the last remains."""
    host = np.zeros(shape, dtype=xp.to_numpy(values).dtype)
    host[xp.to_numpy(index)] = xp.to_numpy(values)
    return xp.from_numpy(host)
