"""The ops in torch, whose autograd makes the gradients: the second oracle, fast enough for thousands of
random cases.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

Tensor: TypeAlias = Any
HostArray: TypeAlias = "np.ndarray[Any, Any]"


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), gamma, beta, eps)


def softmax(x: Tensor) -> Tensor:
    return torch.ops.aten._safe_softmax(x, -1)  # zeros where a row is nothing but -inf


def dropout(x: Tensor, keep: Tensor | None, *, scale: float) -> Tensor:
    return x if keep is None else x * keep * scale


def unpack(x: Tensor, slots: Tensor, valid: Tensor, places: Tensor) -> Tensor:
    return x.new_zeros(len(valid), x.shape[1]).index_copy(0, places, x)


def pack(x: Tensor, slots: Tensor, valid: Tensor, places: Tensor) -> Tensor:
    return x[valid]


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None, denominator: Tensor) -> Tensor:
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (losses if weights is None else losses * weights).sum() / denominator


def span_cross_entropy(
    start_logits: Tensor,
    end_logits: Tensor,
    start_positions: Tensor,
    end_positions: Tensor,
    weights: Any,
    denominator: Any,
) -> Tensor:
    start = cross_entropy(start_logits, start_positions, weights, denominator)
    return (start + cross_entropy(end_logits, end_positions, weights, denominator)) / 2


def kl_divergence(
    logits: Tensor, teacher_logits: Tensor, weights: Tensor, denominator: Tensor, *, temperature: float
) -> Tensor:
    student = F.log_softmax(logits / temperature, -1)
    rows = F.kl_div(student, F.softmax(teacher_logits / temperature, -1), reduction="none").sum(-1)
    return temperature**2 * (weights * rows).sum() / denominator


def cosine(x: Tensor, target: Tensor, weights: Tensor, denominator: Tensor, *, eps: float) -> Tensor:
    lengths = ((x.square().sum(-1) + eps) * (target.square().sum(-1) + eps)).sqrt()
    return (weights * (1 - (x * target).sum(-1) / lengths)).sum() / denominator


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    keep: Tensor | None,
    *,
    heads: int,
    scale: float,
    mask_value: float,
    dropout_scale: float,
    scale_query: bool,
) -> Tensor:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    added = torch.zeros(mask.shape, dtype=query.dtype).masked_fill(~mask, mask_value)[:, None, None, :]
    if keep is None:
        context = F.scaled_dot_product_attention(
            q, k, v, attn_mask=added.expand(-1, heads, q.shape[2], -1), scale=scale
        )
    else:
        context = dropout(softmax(q @ k.mT * scale + added), keep, scale=dropout_scale) @ v
    return context.transpose(1, 2).flatten(-2)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_erf": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": lambda x: F.relu(x),
    "tanh": lambda x: torch.tanh(x),
}

TORCH: dict[str, Callable[..., Tensor]] = {
    "dense": lambda x, weight, bias: F.linear(x, weight, bias),
    "embedding": lambda table, ids: F.embedding(ids, table),
    "layer_norm": layer_norm,
    **ACTIVATIONS,
    "softmax": softmax,
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "dropout": dropout,
    "add": lambda a, b: a + b,
    "gather": lambda x, index: x[index],
    "pack": pack,
    "unpack": unpack,
    "cross_entropy": cross_entropy,
    "span_cross_entropy": span_cross_entropy,
    "squared_error": lambda predictions, targets, denominator: (
        ((predictions - targets) ** 2).sum() / denominator
    ),
    "binary_cross_entropy": lambda logits, targets, denominator: (
        F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / denominator
    ),
    "soft_cross_entropy": lambda logits, targets, denominator: (
        F.cross_entropy(logits, targets, reduction="sum") / denominator
    ),
    "kl_divergence": kl_divergence,
    "cosine": cosine,
    "attention": attention,
    "bias_activation": lambda x, bias, activation: ACTIVATIONS[activation](x + bias),
    "dropout_add_norm": lambda x, residual, keep, gamma, beta, scale, eps: layer_norm(
        dropout(x, keep, scale=scale) + residual, gamma, beta, eps=eps
    ),
    "decoder_cross_entropy": lambda x, table, bias, labels, weights, denominator: cross_entropy(
        F.linear(x, table, bias), labels, weights, denominator
    ),
}


def output(op: str, inputs: dict[str, Any], options: dict[str, Any]) -> HostArray:
    """The output of one case in float64."""
    y: HostArray = TORCH[op](**_tensors(inputs), **options).numpy()
    return y


def solve(
    op: str, inputs: dict[str, Any], options: dict[str, Any], wrt: tuple[str, ...], upstream: HostArray
) -> tuple[HostArray, dict[str, HostArray]]:
    """Output and gradients of one case in float64."""
    tensors = _tensors(inputs)
    leaves = [name for name in wrt if tensors[name] is not None]
    for name in leaves:
        tensors[name].requires_grad_()
    y = TORCH[op](**tensors, **options)
    gradients = torch.autograd.grad(y, [tensors[name] for name in leaves], torch.tensor(upstream))
    return y.detach().numpy(), {name: g.numpy() for name, g in zip(leaves, gradients, strict=True)}


def _tensors(inputs: dict[str, Any]) -> dict[str, Tensor]:
    return {name: None if array is None else torch.tensor(array) for name, array in inputs.items()}
