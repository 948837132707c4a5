"""torch's own functions for the ops, with autograd for backward."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...optim import Optimizer
from .. import op_cases
from ..job import Job
from .torch_device import TorchDevice

DATA = ("weights", "denominator")
"""Arguments that are real numbers but have no gradient."""

GELU = {"gelu_erf": "none", "gelu_tanh": "tanh"}


class Ops:
    """The same arguments as `ours_ops.Ops`; dropout draws nothing, it takes the same given decisions."""

    def __init__(self, job: Job) -> None:
        self.device = TorchDevice(job)
        self.job = job
        self.about = {"name": "torch", "version": torch.__version__, "dtype": job.peer_dtype}
        self.units = tuple(op_cases.cases(job))
        self._ready: tuple[str, Any] | None = None

    def _place(self, unit: str) -> Any:
        if self._ready is None or self._ready[0] != unit:
            self._ready = None
            arrays, options = op_cases.cases(self.job)[unit]()
            placed = {name: None if a is None else self._there(a) for name, a in arrays.items()}
            if unit == op_cases.ADAMW:
                self._ready = unit, (_optimizer(**placed), placed, options, None)
                return self._ready[1]
            for name, tensor in placed.items():
                if tensor is not None and tensor.is_floating_point() and name not in DATA:
                    tensor.requires_grad_()
            function = FUNCTIONS[unit.partition(" ")[0]]
            with torch.no_grad():
                y = function(**placed, **options)
            dy = self._there(np.asarray(op_cases.upstream(y.cpu().numpy(), self.job.seed)))
            self._ready = unit, (function, placed, options, dy)
        return self._ready[1]

    def _gradients(self, unit: str) -> tuple[Any, dict[str, Any]]:
        function, placed, options, dy = self._place(unit)
        wanted = {name: t for name, t in placed.items() if t is not None and t.requires_grad}
        with self.device.autocast():
            y = function(**placed, **options)
        found = torch.autograd.grad(y, list(wanted.values()), dy.to(y.dtype))
        return y, dict(zip(wanted, found, strict=True))

    def figures(self) -> dict[str, Any]:
        """As `ours_ops.Ops.figures`."""
        given, self.device = self.device, TorchDevice(replace(self.job, peer_dtype="float32"))
        found = {}
        for unit in self.units:
            if unit == op_cases.ADAMW:
                found[f"{unit}: p"] = self._moved(unit)
                continue
            y, grads = self._gradients(unit)
            for name, tensor in {"output": y.detach(), **grads}.items():
                found[f"{unit}: {name}"] = float(np.linalg.norm(tensor.double().cpu().numpy().reshape(-1)))
        self.device = given
        return found

    def _moved(self, unit: str) -> float:
        """How far the first update moves the parameter."""
        update, placed, _, _ = self._place(unit)
        before = placed["p"].detach().clone()
        update.step()
        self._ready = None  # it has moved, and its moments have changed
        return float(np.linalg.norm((placed["p"].detach().double() - before).cpu().numpy()))

    def run(self, unit: str) -> None:
        if unit == op_cases.ADAMW:
            self._place(unit)[0].step()
        else:
            self._gradients(unit)
        self.device.synchronize()

    def _there(self, array: Any) -> Any:
        return torch.from_numpy(array).to(self.device.name)


def _optimizer(p: Any, g: Any, m: Any, v: Any) -> Any:
    """torch's AdamW, fused, in the middle of a run."""
    p.grad = g
    rule = Optimizer("adamw")
    made = torch.optim.AdamW(
        [p], op_cases.RATE, (rule.beta1, rule.beta2), rule.epsilon, weight_decay=rule.weight_decay, fused=True
    )
    made.state[p] = {"step": torch.tensor(float(op_cases.UPDATES), device=p.device), "exp_avg": m, "exp_avg_sq": v}
    return made


def _dense(x: Any, weight: Any, bias: Any) -> Any:
    return functional.linear(x, weight, bias)


def _embedding(table: Any, ids: Any) -> Any:
    return functional.embedding(ids, table)


def _layer_norm(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return functional.layer_norm(x, gamma.shape, gamma, beta, eps)


def _bias_activation(x: Any, bias: Any, activation: str) -> Any:
    h = x + bias
    return functional.gelu(h, approximate=GELU[activation]) if activation in GELU else getattr(torch, activation)(h)


def _attention(
    query: Any, key: Any, value: Any, mask: Any, keep: Any,
    heads: int, scale: float, mask_value: float, dropout_scale: float,
) -> Any:  # fmt: skip
    """sdpa where nothing is dropped: it takes a probability, not decisions, so with dropout its parts run."""
    B, S, H = query.shape
    q, k, v = (x.view(B, S, heads, H // heads).transpose(1, 2) for x in (query, key, value))
    allowed = None if mask.all() else mask[:, None, None, :]
    if keep is None:
        context = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale)
    else:
        scores = q @ k.transpose(-1, -2) * scale
        if allowed is not None:
            scores = scores.masked_fill(~allowed, mask_value)
        context = (torch.softmax(scores, -1) * keep * dropout_scale) @ v
    return context.transpose(1, 2).reshape(B, S, H)


def _dropout_add_norm(x: Any, residual: Any, keep: Any, gamma: Any, beta: Any, scale: float, eps: float) -> Any:
    dropped = x if keep is None else x * keep * scale
    return functional.layer_norm(dropped + residual, gamma.shape, gamma, beta, eps)


def _decoder(x: Any, table: Any, bias: Any, labels: Any, weights: Any, denominator: Any) -> Any:
    losses = functional.cross_entropy(functional.linear(x, table, bias), labels, reduction="none")
    return (losses * weights).sum() / denominator


FUNCTIONS: dict[str, Any] = {
    "dense": _dense,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "bias_activation": _bias_activation,
    "attention": _attention,
    "dropout_add_norm": _dropout_add_norm,
    "decoder_cross_entropy": _decoder,
}
