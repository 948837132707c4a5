"""What an update must give: torch's AdamW; Google's optimiser and LAMB in 50 digits from their formulas.

A case starts from moments that aren't zero (a first step from zero shows almost nothing), or runs several
steps from zero; it has decayed and excluded parameters, a zero tensor, and gradients longer than the clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import mpmath
import numpy as np
import torch

Arrays = dict[str, np.ndarray]
DECAY = 0.01
CLIP = 1.0
RATE = 0.1
BETAS = (0.9, 0.999)
SHAPES = {
    "encoder.dense.weight": (4, 3),
    "encoder.dense.bias": (4,),
    "embeddings.LayerNorm.weight": (3,),
    "embeddings.word_embeddings.weight": (5, 3),
    "fresh.weight": (2, 3),
}


@dataclass(frozen=True)
class Case:
    """Parameters, one dict of gradients for each step, the moments, and the number of the first update."""

    params: Arrays
    grads: list[Arrays]
    state: Arrays
    first: int


def excluded(name: str) -> bool:
    return name.endswith("bias") or "LayerNorm" in name


def case(seed: int, *, warm: bool, scale: float = 0.3) -> Case:
    """One update at step 7 from moments that have run (`warm`), or updates 1 to 3 from zero."""
    random = np.random.default_rng(seed)
    params = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    params["fresh.weight"] = np.zeros(SHAPES["fresh.weight"])
    params["embeddings.word_embeddings.weight"] *= 6.0  # longer than 10, where some clamp LAMB's norm
    grads = [{n: scale * random.normal(size=s) for n, s in SHAPES.items()} for _ in range(1 if warm else 3)]
    state = {}
    for name, shape in SHAPES.items():
        state[f"{name}/m"] = 0.1 * random.normal(size=shape) if warm else np.zeros(shape)
        state[f"{name}/v"] = 0.02 * random.random(size=shape) if warm else np.zeros(shape)
    return Case(params, grads, state, 7 if warm else 1)


def in_torch(kind: Any, case: Case, epsilon: float, clip_epsilon: float) -> tuple[Arrays, Arrays]:
    """torch.nn.utils.clip_grad_norm_ and one of torch's optimisers in float64."""
    assert clip_epsilon == 1e-6, "torch's clip has this epsilon built in"
    params = {n: torch.nn.Parameter(torch.tensor(p)) for n, p in case.params.items()}
    groups = [
        {"params": [p for n, p in params.items() if excluded(n)], "weight_decay": 0.0},
        {"params": [p for n, p in params.items() if not excluded(n)], "weight_decay": DECAY},
    ]
    optimizer = kind(groups, lr=RATE, betas=BETAS, eps=epsilon)
    for n, p in params.items():
        m, v = torch.tensor(case.state[f"{n}/m"]), torch.tensor(case.state[f"{n}/v"])
        optimizer.state[p] = {"step": torch.tensor(float(case.first - 1)), "exp_avg": m, "exp_avg_sq": v}
    for grads in case.grads:
        for n, p in params.items():
            p.grad = torch.tensor(grads[n])
        torch.nn.utils.clip_grad_norm_(list(params.values()), CLIP)
        optimizer.step()
    moments = {}
    for n, p in params.items():
        moments[f"{n}/m"] = optimizer.state[p]["exp_avg"].numpy()
        moments[f"{n}/v"] = optimizer.state[p]["exp_avg_sq"].numpy()
    return {n: p.detach().numpy() for n, p in params.items()}, moments


adamw = partial(in_torch, torch.optim.AdamW)

Numbers = list[Any]
Rule = Callable[[str, Numbers, Numbers, Numbers, int, Any], Numbers]


def _in_digits(case: Case, rule: Rule, epsilon: float, clip_epsilon: float) -> tuple[Arrays, Arrays]:
    """Clipping and moments, the same for all; `rule` makes the new p of (name, p, m, v, step, epsilon)."""
    with mpmath.workdps(50):
        as_numbers = {k: [mpmath.mpf(x) for x in a.ravel().tolist()] for k, a in {**case.params, **case.state}.items()}
        b1, b2 = (mpmath.mpf(b) for b in BETAS)
        for number, grads in enumerate(case.grads, start=case.first):
            flat = {n: [mpmath.mpf(x) for x in g.ravel().tolist()] for n, g in grads.items()}
            norm = mpmath.sqrt(sum(x * x for g in flat.values() for x in g))
            factor = min(mpmath.mpf(1), CLIP / (norm + mpmath.mpf(clip_epsilon)))
            for n, g in flat.items():
                m = [b1 * m + (1 - b1) * factor * x for m, x in zip(as_numbers[f"{n}/m"], g, strict=True)]
                v = [b2 * v + (1 - b2) * (factor * x) ** 2 for v, x in zip(as_numbers[f"{n}/v"], g, strict=True)]
                as_numbers[n] = rule(n, as_numbers[n], m, v, number, mpmath.mpf(epsilon))
                as_numbers[f"{n}/m"], as_numbers[f"{n}/v"] = m, v
        shapes = {k: a.shape for k, a in {**case.params, **case.state}.items()}
        arrays = {k: np.array([float(x) for x in numbers]).reshape(shapes[k]) for k, numbers in as_numbers.items()}
    return {n: arrays[n] for n in case.params}, {k: arrays[k] for k in case.state}


def _decay(name: str) -> Any:
    return mpmath.mpf(0) if excluded(name) else mpmath.mpf(DECAY)


def google(case: Case, epsilon: float, clip_epsilon: float) -> tuple[Arrays, Arrays]:
    """AdamWeightDecayOptimizer of google-research/bert: p - rate (m / (sqrt v + eps) + decay p)."""

    def rule(name: str, p: Numbers, m: Numbers, v: Numbers, number: int, eps: Any) -> Numbers:
        steps = [mi / (mpmath.sqrt(vi) + eps) + _decay(name) * pi for pi, mi, vi in zip(p, m, v, strict=True)]
        return [pi - mpmath.mpf(RATE) * u for pi, u in zip(p, steps, strict=True)]

    return _in_digits(case, rule, epsilon, clip_epsilon)


def lamb(case: Case, epsilon: float, clip_epsilon: float, adapt_excluded: bool = False) -> tuple[Arrays, Arrays]:
    """Algorithm 2 of You et al. 2020, with phi the identity and ratio 1 where a norm is 0."""

    def rule(name: str, p: Numbers, m: Numbers, v: Numbers, number: int, eps: Any) -> Numbers:
        c1, c2 = 1 - mpmath.mpf(BETAS[0]) ** number, 1 - mpmath.mpf(BETAS[1]) ** number
        ratios = [(mi / c1) / (mpmath.sqrt(vi / c2) + eps) for mi, vi in zip(m, v, strict=True)]
        u = [r + _decay(name) * pi for r, pi in zip(ratios, p, strict=True)]
        length, step = mpmath.norm(p), mpmath.norm(u)
        trust = length / step if length and step and (adapt_excluded or not excluded(name)) else mpmath.mpf(1)
        return [pi - mpmath.mpf(RATE) * trust * ui for pi, ui in zip(p, u, strict=True)]

    return _in_digits(case, rule, epsilon, clip_epsilon)
