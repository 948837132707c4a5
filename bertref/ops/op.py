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
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from ..arrays import Array, Namespace

P = ParamSpec("P")
G_co = TypeVar("G_co", covariant=True)


@dataclass(frozen=True)
class Op(Generic[P, G_co]):
    """A pair of pure functions of arrays.

    probes   the inner values that a composition can show: `probe(name, array)`. A kernel that replaces the op need not
             have them, so whoever asks for one gets the reference
    figures  by-products of forward for whoever shows progress: `figure(name, array)`. Every kernel for the op has them,
             too, so that asking for one chooses nothing

    P are forward's arguments behind `xp`, G_co what backward returns: the type checker knows every op's signature.
    """

    name: str
    forward: Callable[Concatenate[Namespace, P], tuple[Array, Any]]
    backward: Callable[..., G_co]
    probes: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


AnyOp = Op[..., Any]


@dataclass(frozen=True)
class Kernel:
    """A faster pair for the op of the same name. `serves(*args, **options)` looks at dtypes and shapes only; the first
    line of its docstring says what it serves, for who asks why it does not (`OpSet.explain`).

    `hints` names further options that its forward understands: what a caller may say to save work, and what the
    reference has no use for.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    serves: Callable[..., bool]
    hints: tuple[str, ...] = ()
