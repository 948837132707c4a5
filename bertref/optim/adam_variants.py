"""AdamW and LAMB as other libraries have them: what differs is small, and shows in every update.

    adamw-epsilon-hat    ε outside the corrections: Kingma and Ba's faster form, and TensorFlow's
    adamw-eps-root       ε inside the root: optax with `eps_root`
    adamw-no-correction  the moments as they are, the decay as AdamW's: Google's formula with torch's ε
    adam-l2              the decay as a penalty whose gradient Adam rescales: torch's `Adam(weight_decay=...)`
    lamb-all             LAMB with a trust ratio for every parameter, also for those that aren't decayed

Source: Kingma and Ba 2015, section 2, last paragraph; Loshchilov and Hutter 2019, algorithm 1; the documentation of
optax.adamw, torch.optim.Adam and tensorflow_addons.optimizers.LAMB. AMSGrad is left out: the largest second moment so
far is a third state that no checkpoint of a BERT holds.
"""

from ..arrays import Array, Namespace
from .adam import NUMBERS, SETTINGS, google_update, moments
from .lamb import lamb_update
from .rule import UpdateRule


def epsilon_hat_update(
    xp: Namespace, p: Array, g: Array, m: Array, v: Array,
    rate: Array, correction1: Array, correction2: Array,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """p' = (1 - η λ) p - η (√c₂/c₁) m' / (√v' + ε̂); returns the next (p, m, v)."""
    m, v = moments(g, m, v, beta1, beta2)
    update = (xp.sqrt(correction2) / correction1) * (m / (xp.sqrt(v) + epsilon))
    return _decayed(p, rate, weight_decay) - rate * update, m, v


def eps_root_update(
    xp: Namespace, p: Array, g: Array, m: Array, v: Array,
    rate: Array, correction1: Array, correction2: Array,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """p' = (1 - η λ) p - η (m'/c₁) / √(v'/c₂ + ε); returns the next (p, m, v)."""
    m, v = moments(g, m, v, beta1, beta2)
    update = (m / correction1) / xp.sqrt(v / correction2 + epsilon)
    return _decayed(p, rate, weight_decay) - rate * update, m, v


def l2_update(
    xp: Namespace, p: Array, g: Array, m: Array, v: Array,
    rate: Array, correction1: Array, correction2: Array,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """p' = p - η (m'/c₁) / (√(v'/c₂) + ε), the moments those of g + λ p; returns the next (p, m, v)."""
    if weight_decay:
        g = g + weight_decay * p
    m, v = moments(g, m, v, beta1, beta2)
    return p - rate * ((m / correction1) / (xp.sqrt(v / correction2) + epsilon)), m, v


def _decayed(p: Array, rate: Array, weight_decay: float) -> Array:
    return p - rate * weight_decay * p if weight_decay else p


_ADAMW = ("m", "v"), NUMBERS, SETTINGS, {"epsilon": 1e-8}
LEFT_OUT = {
    "amsgrad": "the largest second moment so far, by which it divides, is a third state that no checkpoint of a BERT "
    "holds; switch it off, or take adamw"
}
"""Optimisers that people ask for -> why there is none."""
VARIANTS = (
    UpdateRule("adamw-epsilon-hat", epsilon_hat_update, *_ADAMW),
    UpdateRule("adamw-eps-root", eps_root_update, *_ADAMW),
    UpdateRule("adamw-no-correction", google_update, ("m", "v"), ("rate",), SETTINGS, {"epsilon": 1e-8}),
    UpdateRule("adam-l2", l2_update, *_ADAMW),
    UpdateRule("lamb-all", lamb_update, ("m", "v"), NUMBERS, SETTINGS, {"epsilon": 1e-6}, whole=True),
)
