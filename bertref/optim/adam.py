"""Adam with decoupled weight decay, twice: as BERT was trained, and as torch does it.

Both keep, for a parameter p with gradient g, running means of the gradient and of its square (Kingma and Ba
2015):

    m' = β₁ m + (1 - β₁) g
    v' = β₂ v + (1 - β₂) g²

and both decay the weight itself, with the rate η, rather than adding a penalty to the loss, whose gradient
Adam would rescale (Loshchilov and Hutter 2019). They differ in what follows; see each function.

Here p, g, m and v share one shape and one type. The rate and the corrections change from step to step and
come as 0-d arrays, so that a compiler sees inputs and not constants; what stays fixed during a run comes as
Python numbers.
"""

from ..arrays import Array, Namespace
from .rule import UpdateRule


def moments(g: Array, m: Array, v: Array, beta1: float, beta2: float) -> tuple[Array, Array]:
    """The next running means of the gradient and of its square."""
    m = beta1 * m + (1.0 - beta1) * g
    v = beta2 * v + (1.0 - beta2) * (g * g)
    return m, v


def google_update(
    xp: Namespace, p: Array, g: Array, m: Array, v: Array, rate: Array,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """One step of Google's AdamWeightDecayOptimizer; returns the next (p, m, v), arrays of the same shape.

        p' = p - η (m' / (√v' + ε) + λ p)

    There is no bias correction: the moments start at 0 and are used as they are, so the first update is
    (1 - β₁)/√(1 - β₂) = 3.16 times as long as Adam's. `weight_decay` is λ; 0 for excluded parameters.
    Source: google-research/bert, optimization.py, `AdamWeightDecayOptimizer.apply_gradients`.
    """
    m, v = moments(g, m, v, beta1, beta2)
    update = m / (xp.sqrt(v) + epsilon)
    if weight_decay:
        update = update + weight_decay * p
    return p - rate * update, m, v


def adamw_update(
    xp: Namespace, p: Array, g: Array, m: Array, v: Array,
    rate: Array, correction1: Array, correction2: Array,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """One step of AdamW as in `torch.optim.AdamW`; returns the next (p, m, v), arrays of the same shape.

        p' = (1 - η λ) p - η (m'/c₁) / (√(v'/c₂) + ε)        c₁ = 1 - β₁ᵗ,  c₂ = 1 - β₂ᵗ

    The corrections c undo the bias of moments that started at 0; t counts this update from 1. ε is added
    outside the root and after the correction. `weight_decay` is λ; 0 for excluded parameters.
    Source: Loshchilov and Hutter 2019, algorithm 2; the documentation of torch.optim.AdamW.
    """
    m, v = moments(g, m, v, beta1, beta2)
    update = (m / correction1) / (xp.sqrt(v / correction2) + epsilon)
    if weight_decay:
        p = p - rate * weight_decay * p
    return p - rate * update, m, v


SETTINGS = ("beta1", "beta2", "epsilon", "weight_decay")
NUMBERS = ("rate", "correction1", "correction2")

google = UpdateRule("google", google_update, ("m", "v"), ("rate",), SETTINGS, {"epsilon": 1e-6})
"""ε of google-research/bert, optimization.py."""
adamw = UpdateRule("adamw", adamw_update, ("m", "v"), NUMBERS, SETTINGS, {"epsilon": 1e-8})
"""ε by torch's and Hugging Face's habit."""
