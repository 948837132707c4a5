"""Mistakes in the optimiser step: AdamW with clipping, written out, one line at a time to be wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from .mistake import Mistake

SECTION = "optimiser"
FIRST = "update:bert.embeddings.word_embeddings.weight"
"""The first parameter: what a mistake makes wrong first that changes the step of all, or of all that are decayed."""

Tensors = dict[str, Any]


def global_norm(gradients: list[torch.Tensor], limit: float) -> list[torch.Tensor]:
    norm = torch.sqrt(sum((g * g).sum() for g in gradients))
    return [g * torch.clamp(limit / (norm + 1e-6), max=1.0) for g in gradients]


def each_norm(gradients: list[torch.Tensor], limit: float) -> list[torch.Tensor]:
    return [g * torch.clamp(limit / (g.norm() + 1e-6), max=1.0) for g in gradients]


def largest_element(gradients: list[torch.Tensor], limit: float) -> list[torch.Tensor]:
    norm = max(g.abs().max() for g in gradients)
    return [g * torch.clamp(limit / (norm + 1e-6), max=1.0) for g in gradients]


def by_value(gradients: list[torch.Tensor], limit: float) -> list[torch.Tensor]:
    return [g.clamp(-limit, limit) for g in gradients]


def no_clipping(gradients: list[torch.Tensor], limit: float) -> list[torch.Tensor]:
    return gradients


@torch.no_grad()
def adamw(
    params: Tensors,
    case: Any,
    moments: Tensors,
    *,
    clip: Callable[[list[torch.Tensor], float], list[torch.Tensor]] = global_norm,
    correct_by: int | None = 0,
    betas: tuple[float, float] | None = None,
    decay: str = "decoupled",
    decays: Callable[[Any, str], bool] = lambda settings, name: settings.decays(name),
    rate: Callable[[Any], float] = lambda case: case.rate,
    root: Callable[[torch.Tensor, float], torch.Tensor] = lambda v, eps: v.sqrt() + eps,
    steps: Callable[[str], int] = lambda name: 1,
) -> None:
    """One step, right as it stands.

    correct_by   added to the step's number in the bias correction; None: no correction
    decay        "decoupled", "l2" (added to the gradient), "without rate", "none"
    steps        how often a parameter of that name is stepped
    """
    settings = case.optimizer
    beta1, beta2 = betas or (settings.beta1, settings.beta2)
    gradients = clip([p.grad for p in params.values()], case.clip_norm)
    eta = rate(case)
    for (name, p), g in zip(params.items(), gradients, strict=True):
        m, v = moments[f"{name}/m"].clone(), moments[f"{name}/v"].clone()
        strength = settings.weight_decay if decays(settings, name) else 0.0
        for _ in range(steps(name)):
            if decay == "decoupled":
                p.mul_(1 - eta * strength)
            elif decay == "without rate":
                p.mul_(1 - strength)
            elif decay == "l2":
                g = g + strength * p
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            first, second = m, v
            if correct_by is not None:
                count = case.step + correct_by
                first, second = m / (1 - beta1**count), v / (1 - beta2**count)
            p.sub_(eta * first / root(second, settings.epsilon))


def without_bias_decayed(settings: Any, name: str) -> bool:
    """Exclusions for a library that says gamma and beta: "LayerNorm.weight" matches none of them."""
    return not any(part in name for part in ("gamma", "beta", "bias"))


MISTAKES = [
    Mistake("bias-correction-missing", SECTION, "google-research/bert#153", FIRST,
            step=partial(adamw, correct_by=None)),
    Mistake("bias-correction-one-step-behind", SECTION, "a counter that starts at 0", FIRST,
            step=partial(adamw, correct_by=-1)),
    Mistake("decay-as-l2-penalty", SECTION, "pytorch/pytorch#21250", FIRST, step=partial(adamw, decay="l2")),
    Mistake("decay-without-rate", SECTION, "decoupled from the schedule, too", FIRST,
            step=partial(adamw, decay="without rate")),
    Mistake("decay-missing", SECTION, "an optimiser built without its groups", FIRST,
            step=partial(adamw, decay="none")),
    Mistake("decay-on-everything", SECTION, "huggingface/transformers#4360", "update:bert.embeddings.LayerNorm.weight",
            step=partial(adamw, decays=lambda settings, name: True)),
    Mistake("decay-on-norm-weights", SECTION, "huggingface/transformers#16908",
            "update:bert.embeddings.LayerNorm.weight", step=partial(adamw, decays=without_bias_decayed)),
    Mistake("clipping-off", SECTION, "a step without clip_grad_norm_", FIRST, step=partial(adamw, clip=no_clipping)),
    Mistake("clipping-each-tensor", SECTION, "a norm for each parameter", FIRST, step=partial(adamw, clip=each_norm)),
    Mistake("clipping-by-largest-element", SECTION, "the wrong norm", FIRST,
            step=partial(adamw, clip=largest_element)),
    Mistake("clipping-by-value", SECTION, "clip_grad_value_", FIRST, step=partial(adamw, clip=by_value)),
    Mistake("warm-up-one-step-behind", SECTION, "google-research/bert#1293", FIRST,
            step=partial(adamw, rate=lambda case: case.rate * (case.step - 1) / case.step)),
    Mistake("rate-halved", SECTION, "averaged over workers once too often", FIRST,
            step=partial(adamw, rate=lambda case: case.rate / 2)),
    Mistake("second-beta-0.99", SECTION, "another library's default", FIRST, step=partial(adamw, betas=(0.9, 0.99))),
    Mistake("betas-swapped", SECTION, "arguments in the wrong order", FIRST, step=partial(adamw, betas=(0.999, 0.9))),
    Mistake("epsilon-inside-root", SECTION, "sqrt(v + epsilon)", FIRST,
            step=partial(adamw, root=lambda v, eps: (v + eps).sqrt())),
    Mistake("root-missing", SECTION, "v for its root", FIRST, step=partial(adamw, root=lambda v, eps: v + eps)),
    Mistake("tied-table-stepped-twice", SECTION, "a tied parameter that is listed twice", FIRST,
            step=partial(adamw, steps=lambda name: 2 if name == "bert.embeddings.word_embeddings.weight" else 1)),
]  # fmt: skip
