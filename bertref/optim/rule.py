"""The record of an optimiser: its formula for one parameter, and what that needs to be given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class UpdateRule:
    """What `Optimizer` knows of one kind.

    name        how it is called in options, in `Optimizer.kind` and in saved files
    update      (xp, p, g, *moments, *numbers, **settings) -> (p, *moments), arrays of one shape and type
    moments     "m", a running mean of gradients, and "v", one of their squares: what it keeps of them. The state and
                checkpoints hold an array `NAME/MOMENT` for each parameter
    numbers     what changes from step to step and comes as 0-d arrays: "rate"; "correction1" and "correction2", which
                are 1 - β₁ᵗ and 1 - β₂ᵗ
    settings    what stays and comes as Python numbers: fields of `Optimizer`, and "adapt" (see `adapt_excluded`);
                "weight_decay" is 0 for an excluded parameter
    defaults    its own values of settings
    rate        a good learning rate for it, where 1 is a good one for AdamW
    whole       whether it needs a whole parameter at once, such as its norm; the others work element by element
    continuous  whether a small change of the gradient makes a small change of the update. A sign isn't: where it is
                taken of almost 0, rounding decides, and nobody can tell a right update from a wrong one
    """

    name: str
    update: Callable[..., tuple[Any, ...]]
    moments: tuple[str, ...]
    numbers: tuple[str, ...]
    settings: tuple[str, ...]
    defaults: Mapping[str, float] = field(default_factory=dict)
    rate: float = 1.0
    whole: bool = False
    continuous: bool = True
