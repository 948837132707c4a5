"""What every layer needs to know: the architecture, the dialect, and what backward may compute again."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..arrays import Array
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..errors import InputError

RECOMPUTE = ("none", "attention", "layers")
"""Which cached activations are dropped: none; each layer's attention, (B, A, S, S) twice and more; all
but each layer's input."""


@dataclass(frozen=True)
class Settings:
    """config, numerics, one of `RECOMPUTE`, and how much is frozen.

    `frozen` counts from below: 1 is the embeddings, 2 the first layer with them, ... Of what is frozen forward keeps
    nothing, and backward stops above it.
    """

    config: BertConfig
    numerics: Numerics
    recompute: str = "none"
    frozen: int = 0

    def __post_init__(self) -> None:
        if self.recompute not in RECOMPUTE:
            raise InputError(f"recompute: {self.recompute!r} is not one of {', '.join(RECOMPUTE)}")

    @property
    def activation(self) -> str:
        return self.numerics.activation(self.config.hidden_act)

    @property
    def eps(self) -> float:
        return self.numerics.layer_norm_eps

    @property
    def scale(self) -> float:
        """1/√D, the factor of the attention scores."""
        return 1 / math.sqrt(self.config.head_size)

    def at_branch(self, dropout: Dropout | None, branch: str) -> Dropout | None:
        """The dropout of a branch before its residual, None where the network has none there."""
        return None if branch in self.config.variant.undropped else dropout


class Recompute(NamedTuple):
    """A cache that was dropped, and the call that recomputes it. Forward is pure, so it is bit-equal.

    It is called with the same probe: what looks inside decides which implementation runs.
    """

    forward: Callable[[], tuple[Array, Any]]


def materialised(cache: Any) -> Any:
    """The cache itself, or the one that forward recomputes."""
    return cache.forward()[1] if isinstance(cache, Recompute) else cache
