"""AdamW and LAMB in NumPy, float32 throughout, as optax, MLX, Keras, TensorFlow and tinygrad compute their corrections.

Written from the papers, so that it shares nothing with what it is verified by.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertref.verify.records import Arrays, Case

single = np.float32
HABITS = ("power", "product", "betas", "double", "double power", "squaring")
"""power: βᵗ by one call; product: kept from step to step; squaring: by repeated squaring, as integer powers are made;
betas: β and 1 - β are float32 in the moments, too; double: as betas, but the corrections are of float64, by βᵗ of the β
that is given, or, double power, of float32's."""


def updates(
    case: Case, grads: Mapping[str, Any], habit: str = "power", *, hat: bool = False, **wrong: Any
) -> Arrays:
    """New minus old value of every parameter ("update:NAME") from gradients by name. `hat`: epsilon is added to the
    root of the uncorrected moment. `wrong` overrides settings of the optimiser: beta1, beta2, epsilon, weight_decay."""
    step = case.optimizer
    assert step is not None
    settings = {name: getattr(step.optimizer, name) for name in ("beta1", "beta2", "epsilon", "weight_decay")} | wrong
    gradients = {name: np.asarray(grads[name], single) for name in case.params}
    scale = _clipping(step, gradients)
    c1, c2 = (_correction(settings[name], step.step, habit) for name in ("beta1", "beta2"))
    epsilon = single(settings["epsilon"]) / (np.sqrt(c2) if hat else single(1))
    found = {}
    for name, g in gradients.items():
        p = case.params[name].astype(single)
        m, v = (_mean(settings[beta], step.moments[f"{name}/{which}"], x, habit)
                for beta, which, x in (("beta1", "m", g * scale), ("beta2", "v", np.square(g * scale))))  # fmt: skip
        change = (m / c1) / (np.sqrt(v / c2) + epsilon)
        decays = step.optimizer.decays(name)
        if decays:
            change = change + single(settings["weight_decay"]) * p
        if step.optimizer.kind == "lamb" and decays:
            change = change * single(np.linalg.norm(p) / np.linalg.norm(change))
        found[f"update:{name}"] = (p - single(step.rate) * change) - p
    return found


def _clipping(step: Any, gradients: Arrays) -> Any:
    norm = single(np.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients.values())))
    return single(1) if step.clip_norm is None else single(min(1.0, step.clip_norm / (norm + step.clip_epsilon)))


def _correction(beta: float, step: int, habit: str) -> Any:
    if habit.startswith("double"):
        return single(1 - (beta if habit == "double" else float(single(beta))) ** step)
    return single(1) - _power(beta, step, habit)


def _power(beta: float, step: int, habit: str) -> Any:
    if habit == "squaring":
        half = _power(beta, step // 2, habit) if step > 1 else single(1)
        return half * half * (single(beta) if step % 2 else single(1))
    if habit != "product":
        return np.power(single(beta), single(step))
    kept = single(1)
    for _ in range(step):
        kept = kept * single(beta)
    return kept


def _mean(beta: float, old: Any, new: Any, habit: str) -> Any:
    held = habit == "betas" or habit.startswith("double")
    rest = single(1) - single(beta) if held else single(1 - beta)
    return single(beta) * old.astype(single) + rest * new
