"""Clipping by the global norm: when all gradients together are too long, all are shortened by one factor.

The direction of the step stays; a rare bad batch can't throw the weights far away (Pascanu et al. 2013).
BERT clips at 1.0. The two references differ in a detail:

    TensorFlow    scale = clip · min(1/norm, 1/clip)              ε = 0
    torch         scale = min(1, clip/(norm + 10⁻⁶))              ε = 10⁻⁶

and both are clip / max(norm + ε, clip).
"""

from collections.abc import Mapping

from ..arrays import Array, Namespace
from ..errors import InputError
from .faster import Updates, chosen
from .norms import scaled, squared_norm


def global_norm(xp: Namespace, grads: Mapping[str, Array], updates: Updates | None = None) -> Array:
    """√ Σ g² over all elements of all gradients, a 0-d array: float32, or float64 if any gradient is float64.

    The sum runs in the order of the names, not of the dict. Without gradients the norm is 0.
    """
    if not grads:
        return xp.zeros((), dtype=xp.float32)
    parts = [chosen(updates, squared_norm, grads[name])(xp, grads[name]) for name in sorted(grads)]
    widest = xp.float64 if any(part.dtype == xp.float64 for part in parts) else xp.float32
    return xp.sqrt(xp.sum(xp.stack([xp.astype(part, widest, copy=False) for part in parts])))


def clipping_factor(xp: Namespace, norm: Array, max_norm: float, *, epsilon: float) -> Array:
    """What `clip_by_global_norm` multiplies gradients of that norm (a 0-d array) by, a 0-d array of its type.

    NaN for a norm that isn't finite. Raises `InputError` unless `max_norm` is positive.
    """
    if not max_norm > 0:
        raise InputError(f"clip: the largest norm is {max_norm!r}; it must be positive")
    limit = xp.full_like(norm, max_norm)
    scale = limit / xp.maximum(norm + epsilon, limit)
    return xp.where(xp.isfinite(norm), scale, xp.full_like(norm, float("nan")))


def clip_by_global_norm(
    xp: Namespace,
    grads: Mapping[str, Array],
    max_norm: float,
    *,
    epsilon: float,
) -> tuple[dict[str, Array], Array]:
    """Gradients whose global norm is at most `max_norm`, and the norm before clipping (a 0-d array). An update that is
    given the `clipping_factor` needs them not (`Optimizer.update`).

    A norm that is infinite or NaN can't be clipped: every gradient then becomes NaN, as in TensorFlow, so
    that the failure can't pass for a step of length 0. Callers look at the norm before they update.
    Raises `InputError` unless `max_norm` is positive. Source: tf.clip_by_global_norm (epsilon 0),
    torch.nn.utils.clip_grad_norm_ (1e-6); google-research/bert's optimization.py has max_norm 1.0.
    """
    norm = global_norm(xp, grads)
    factor = clipping_factor(xp, norm, max_norm, epsilon=epsilon)
    return {name: scaled(xp, g, factor) for name, g in grads.items()}, norm
