"""Lion: every element moves by the rate itself, up or down; only the sign of a running mean counts.

Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2:

    c  = β₁ m + (1 - β₁) g
    p' = p - η (sign(c) + λ p)
    m' = β₂ m + (1 - β₂) g

The update looks less far back than the mean that is kept (β₁ = 0.9, β₂ = 0.99), and there is one moment instead of
Adam's two. The decay λ is decoupled, as AdamW's. The sign of 0 is 0.

An update is longer than Adam's, whose elements are mostly below the rate, so the rate wants to be a third to a tenth of
AdamW's, and λ larger by as much for the same strength (section 5 of the paper).
"""

from ..arrays import Array, Namespace
from .rule import UpdateRule


def lion_update(
    xp: Namespace, p: Array, g: Array, m: Array, rate: Array, *, beta1: float, beta2: float, weight_decay: float
) -> tuple[Array, Array]:
    """One step of Lion; returns the next (p, m), arrays of the same shape. `weight_decay` is λ, 0 for excluded ones."""
    c = beta1 * m + (1.0 - beta1) * g
    one = xp.ones_like(c)
    update = xp.where(c > 0, one, xp.where(c < 0, -one, xp.zeros_like(c)))
    if weight_decay:
        update = update + weight_decay * p
    return p - rate * update, beta2 * m + (1.0 - beta2) * g


lion = UpdateRule(
    "lion", lion_update, moments=("m",), numbers=("rate",), settings=("beta1", "beta2", "weight_decay"),
    defaults={"beta2": 0.99}, rate=0.2, continuous=False,
)  # fmt: skip
