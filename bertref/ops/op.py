"""The record that names an op: a forward and a backward, side by side in one file.

    forward(xp, x, gamma, beta, *, eps) -> (y, Cache)
    backward(xp, dy, cache)             -> Grads        # fields are named after forward's arguments

Shapes are written with one legend everywhere:

    B batch (sequences)    S sequence length, padded    T tokens (B*S padded, or only the real ones)
    H hidden size          A attention heads            D head size, H/A
    I intermediate size    V vocabulary                 N rows of any kind         P masked positions

The law of gradients: an op returns fresh gradients of all its array arguments; whoever uses a value twice (a layer with
a residual, the tied word embeddings) adds them up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Op:
    """A pair of pure functions of arrays. `probes` names the inner values that a composition can show (section 5)."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    probes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A faster pair for the op of the same name. `serves(*args, **options)` looks at dtypes and shapes only.

    `hints` names further options that its forward understands: what a caller may say to save work, and what the
    reference has no use for.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    serves: Callable[..., bool]
    hints: tuple[str, ...] = ()
