"""What torch users do after the forward pass: a loss, and one step of their optimiser."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...config import Numerics
from ...data.batch import IGNORED_LABEL
from ...data.pretraining.batch import PretrainingBatch
from ...errors import InputError
from ..records import OptimizerCase

CLIP_EPSILON = 1e-6
"""What `torch.nn.utils.clip_grad_norm_` adds to the norm; it can't be told otherwise."""

OPTIMIZERS: dict[str, Any] = {"adamw": torch.optim.AdamW, "adam-l2": torch.optim.Adam}
"""A case's optimiser -> torch's own."""

Step = Callable[[dict[str, Any], OptimizerCase, dict[str, Any]], None]
"""(parameters by canonical name, with their gradients, the case's settings, the moments NAME/m and NAME/v): updates the
parameters in place, and may overwrite the moments."""


def labels(batch: PretrainingBatch) -> Any:
    """Hugging Face's labels (B, S): the id to predict, or -100."""
    table = np.full(batch.input_ids.shape, IGNORED_LABEL, np.int64)
    rows, slots = np.nonzero(batch.masked_lm_weights)
    table[rows, batch.masked_lm_positions[rows, slots]] = batch.masked_lm_ids[rows, slots]
    return torch.from_numpy(table)


def why_not_labels(batch: PretrainingBatch, numerics: Numerics) -> str | None:
    """The reason for which Hugging Face's loss, a plain mean over labels, is not the case's; None if it is."""
    weights = batch.masked_lm_weights
    if numerics.mlm_denominator_epsilon:
        return f"the dialect adds {numerics.mlm_denominator_epsilon:g} to the denominator"
    if not weights.any():
        return "there is no prediction, and a mean over none is not a number"
    if np.any((weights != 0) & (weights != 1)):
        return "its predictions have weights other than 0 and 1"
    for positions, used in zip(batch.masked_lm_positions, weights != 0, strict=True):
        if len(np.unique(positions[used])) < used.sum():
            return "a position is predicted twice"
    return None


def losses(logits: Any, next_sentence: Any, batch: PretrainingBatch, numerics: Numerics) -> tuple[Any, Any, Any]:
    """loss.mlm, loss.nsp and loss.total as the case defines them, from a model's logits (B, S, V) and (B, 2)."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    mlm = word_loss(logits, batch, numerics)
    labels = torch.from_numpy(batch.next_sentence_label).to(logits.device).long()
    nsp = F.cross_entropy(next_sentence.to(wide), labels, reduction="sum") / float(len(batch))
    return mlm, nsp, mlm + nsp


def word_loss(logits: Any, batch: PretrainingBatch, numerics: Numerics) -> Any:
    """loss.mlm as the case defines it, from a model's logits (B, S, V)."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32

    def send(array: Any) -> Any:
        return torch.from_numpy(array).to(logits.device)

    rows = torch.arange(len(batch), device=logits.device)[:, None]
    picked = logits[rows, send(batch.masked_lm_positions).long()].to(wide)
    weights = send(batch.masked_lm_weights).to(wide)
    ids = send(batch.masked_lm_ids).long()
    each = F.cross_entropy(picked.transpose(1, 2), ids, reduction="none")
    below = float(np.sum(batch.masked_lm_weights, dtype=np.float64)) + numerics.mlm_denominator_epsilon
    return (each * weights).sum() / (below or 1.0)


def why_no_step(step: OptimizerCase) -> str | None:
    """The reason for which torch has no such step; None if it has one."""
    if step.optimizer.kind not in OPTIMIZERS:
        return f"torch has no optimiser like {step.optimizer.kind!r}"
    if step.clip_norm is not None and step.clip_epsilon != CLIP_EPSILON:
        return f"torch's clipping adds {CLIP_EPSILON:g} to the norm, the case {step.clip_epsilon:g}"
    return None


def adamw_step(params: dict[str, Any], step: OptimizerCase, moments: dict[str, Any]) -> None:
    """`clip_grad_norm_`, then torch's optimiser with two groups, as Hugging Face's Trainer makes them."""
    if (reason := why_no_step(step)) is not None:
        raise InputError(reason)
    settings = step.optimizer
    if step.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(list(params.values()), step.clip_norm)
    decayed = [p for name, p in params.items() if settings.decays(name)]
    others = [p for name, p in params.items() if not settings.decays(name)]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = OPTIMIZERS[settings.kind](
        [group for group in groups if group["params"]],
        lr=step.rate, betas=(settings.beta1, settings.beta2), eps=settings.epsilon,
    )  # fmt: skip
    for name, p in params.items():
        optimizer.state[p] = {
            "step": torch.tensor(float(step.step - 1)),
            "exp_avg": moments[f"{name}/m"],
            "exp_avg_sq": moments[f"{name}/v"],
        }
    optimizer.step()
