"""LAMB: Adam whose step, tensor by tensor, is as long as the rate times the tensor itself.

You et al. 2020, "Large batch optimization for deep learning: training BERT in 76 minutes", algorithm 2:

    m' = β₁ m + (1 - β₁) g              v' = β₂ v + (1 - β₂) g²
    r  = (m'/c₁) / (√(v'/c₂) + ε)       c₁ = 1 - β₁ᵗ,  c₂ = 1 - β₂ᵗ
    u  = r + λ p
    p' = p - η · φ(‖p‖)/‖u‖ · u

The paper and its implementations leave choices; these are ours:
- bias correction is on, as in the paper's third version and in NVIDIA's;
- φ is the identity: no clamp of ‖p‖;
- the trust ratio is 1 where ‖p‖ or ‖u‖ is 0, so that zero biases can start to move;
- gradients aren't normalised here: clipping by the global norm is a step of its own (`clip`);
- parameters excluded from decay (biases, layer norms) get no trust ratio either, as in NVIDIA's and
  TensorFlow Addons' implementations; `Optimizer.adapt_excluded` switches it on for them, as the paper's
  algorithm reads.
"""

from ..arrays import Array, Namespace
from .adam import NUMBERS, SETTINGS, moments
from .norms import squared_norm
from .rule import UpdateRule


def trust_ratio(xp: Namespace, p: Array, update: Array) -> Array:
    """‖p‖/‖u‖, or 1 where either norm is 0: a 0-d array in the type of `p`, norms in at least float32."""
    weight, step = xp.sqrt(squared_norm(xp, p)), xp.sqrt(squared_norm(xp, update))
    one = xp.ones_like(step)
    divisor = xp.where(step > 0, step, one)
    ratio = xp.where((weight > 0) & (step > 0), weight / divisor, one)
    return xp.astype(ratio, p.dtype, copy=False)


def lamb_update(
    xp: Namespace, p: Array, g: Array, m: Array, v: Array,
    rate: Array, correction1: Array, correction2: Array,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float, adapt: bool = True,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """One step of LAMB, the formulas above; returns the next (p, m, v), arrays of the same shape.

    `rate` is η, `correction1` and `correction2` are c₁ and c₂, 0-d arrays; `weight_decay` is λ.
    `adapt=False` leaves the trust ratio out, which makes the step Adam's.
    """
    m, v = moments(g, m, v, beta1, beta2)
    update = (m / correction1) / (xp.sqrt(v / correction2) + epsilon)
    if weight_decay:
        update = update + weight_decay * p
    if adapt:
        update = trust_ratio(xp, p, update) * update
    return p - rate * update, m, v


lamb = UpdateRule("lamb", lamb_update, ("m", "v"), NUMBERS, (*SETTINGS, "adapt"), {"epsilon": 1e-6}, whole=True)
"""ε of the paper's experiments with BERT."""
