"""What training steps on torch have in common: the optimiser's faster variant, clipping, the schedule."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ...optim import Optimizer, Schedule
from .torch_device import TorchDevice

VARIANTS = ({"fused": True}, {"foreach": True})
"""Of torch.optim.AdamW; the faster one here is raced."""

TRIALS = 3


class Trainer:
    """A model with its optimiser; `decays` tells which of its parameters are decayed, else `optimizer` does."""

    def __init__(
        self,
        model: Any,
        optimizer: Optimizer,
        schedule: Schedule,
        clip_norm: float,
        device: TorchDevice,
        decays: Callable[[str], bool] | None = None,
    ) -> None:
        self.model, self.rule, self.schedule, self.clip_norm = model, optimizer, schedule, clip_norm
        self.decays = decays or optimizer.decays
        self.device = device
        self.variant: dict[str, bool] = {}
        self._optimizer: Any = None
        self._schedule: Any = None

    def gradients(self, loss: Callable[[], Any]) -> Any:
        """The loss after backward in float32; the gradients are in the parameters."""
        self.model.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        return value.detach()

    def step(self, loss: Callable[[], Any]) -> None:
        """Forward, backward, clipping, update."""
        if self._optimizer is None:
            self._choose(loss)
        self._optimizer.zero_grad(set_to_none=True)
        with self.device.autocast():
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self._optimizer.step()
        self._schedule.step()

    def _choose(self, loss: Callable[[], Any]) -> None:
        """Tries the variants on real gradients, each after a step that makes its moments, and keeps the fastest."""
        with self.device.autocast():
            value = loss()
        value.backward()
        times: list[tuple[float, int, dict[str, bool]]] = []
        for variant in VARIANTS:
            optimizer = self._make(variant)
            optimizer.step()
            best = min(self._seconds(optimizer.step) for _ in range(TRIALS))
            times.append((best, len(times), variant))
            del optimizer
        self.variant = min(times)[2]
        self._optimizer = self._make(self.variant)
        share = replace(self.schedule, peak=1.0)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, share.rate)

    def _make(self, variant: dict[str, bool]) -> Any:
        decayed: list[Any] = []
        others: list[Any] = []
        for name, parameter in self.model.named_parameters():
            (decayed if self.decays(name) else others).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": self.rule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        settings: Any = {"lr": self.schedule.peak, "betas": self.rule.betas, "eps": self.rule.epsilon}
        return torch.optim.AdamW(groups, **settings, **variant)

    def _seconds(self, call: Callable[[], Any]) -> float:
        self.device.synchronize()
        start = time.perf_counter()
        call()
        self.device.synchronize()
        return time.perf_counter() - start
