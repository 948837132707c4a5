"""One case on one torch model: forward under the watch, backward, one step of the optimiser."""

import inspect
from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from ..records import Answers, Arrays, Case
from . import torch_losses, torch_model, torch_step
from .arrays import canonical, to_numpy
from .torch_watch import TorchWatch

FUNCTIONAL_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
"""The rates of a config that a model may apply without a module."""
FLOAT16_LOSS_SCALE = 1024.0
"""As `torch.amp.GradScaler` would use one, small enough for a batch of a few tokens."""


class TorchRun:
    """`owners` are the parameters by canonical name, as `torch_model.with_weights` gives them."""

    def __init__(
        self, model: Any, owners: dict[str, list[Any]], case: Case, wanted: Collection[str] | None,
        autocast: str | None, step: torch_step.Step | None,
    ) -> None:  # fmt: skip
        self._model, self._owners, self._case, self._autocast = model, owners, case, autocast
        self._step = step
        self._wanted = None if wanted is None else frozenset(wanted)
        self._parts = torch_model.parts(model)
        self._watch = TorchWatch(case.batch, wanted, losses=case.objective == "pretraining")
        self._notes: list[str] = []
        dtype = next(model.parameters()).dtype
        self._master = torch.float64 if dtype == torch.float64 else torch.float32
        self._scale = FLOAT16_LOSS_SCALE if dtype == torch.float16 or autocast == "float16" else 1.0
        self._trains = torch_model.trains(model, case)
        torch_model.place_hooks(self._watch, self._parts, case)

    def _why_not_trained(self) -> str:
        if self._case.objective == "pretraining":
            return "the model hasn't got both heads of pre-training"
        return f"the model has no loss for the case's head, {self._case.objective}"

    def answers(self) -> Answers:
        backward = self._wanted is None or any(name.startswith(("grad:", "update:")) for name in self._wanted)
        if backward and not self._trains:
            self._notes.append(f"no losses and gradients: {self._why_not_trained()}")
            backward = False
        if self._model.training and (dropout := _dropout(self._model)):
            self._notes.append(f"the model is in train mode: {dropout}; call model.eval() to verify without")
        for tensor in [tensor for tensors in self._owners.values() for tensor in tensors]:
            tensor.requires_grad_(backward)
        device = next(self._model.parameters()).device
        around = torch.autocast(device.type, getattr(torch, self._autocast)) if self._autocast else nullcontext()
        try:
            with torch.set_grad_enabled(backward):
                with around:
                    total = self._forward(device)
                if backward:
                    (total * self._scale).backward()
        finally:
            self._watch.remove_hooks()
        values = dict(self._watch.values)
        if backward:
            values |= self._gradients()
        values = {name: canonical(name, value, self._case) for name, value in values.items()}
        if self._wanted is not None:
            values = {name: value for name, value in values.items() if name in self._wanted}
        self._notes += self._watch.notes
        return Answers(values, tuple(dict.fromkeys(self._notes)))

    def _forward(self, device: Any) -> Any:
        """Runs the model under the watch; the total loss, None if it hasn't got the case's head."""
        case, batch = self._case, self._case.batch

        def send(array: Any) -> Any:
            rows = array.reshape(-1, case.choices, array.shape[1]) if case.objective == "multiple_choice" else array
            return torch.from_numpy(np.asarray(rows, np.int64)).to(device)

        taken = inspect.signature(self._model.forward).parameters
        names = ("input_ids", "attention_mask", "token_type_ids" if case.config.type_vocab_size else "")
        inputs = {name: send(getattr(batch, name)) for name in filter(None, names)}
        reason = torch_losses.why_not_own(case)
        if self._trains and reason is None:
            inputs |= torch_losses.labels(case, device, self._master, taken)
        encoded: list[Any] = []
        kept = self._parts.encoder.register_forward_hook(lambda _, args, output: encoded.append(output))
        try:
            with self._watch, torch_model.problem_type(self._model, case.objective):
                output = self._model(**inputs, return_dict=True)
        finally:
            kept.remove()
        if not self._trains:
            return None
        if reason:
            self._notes.append(f"the losses are computed from the model's logits by bertref: {reason}")
        own = reason is None
        losses = torch_losses.own(case, output) if own else torch_losses.computed(case, output, encoded[-1])
        for name, loss in losses.items():
            self._watch.see(name, loss)
        return losses["loss.total"]

    def _gradients(self) -> Arrays:
        watch = self._watch
        values: Arrays = {}
        silent = []
        for name, shape in watch.expected.items():
            if name not in watch.gradients:
                silent.append(name)
            found = watch.gradients.get(name, np.zeros(shape, np.float32))
            values[f"grad:{name}"] = found.astype(np.float32) / np.float32(self._scale) if self._scale != 1 else found
        for tensors in self._owners.values():
            for tensor in tensors:
                if tensor.grad is None:
                    tensor.grad = torch.zeros_like(tensor)
        for name in self._case.shapes:
            tensors = self._owners.get(name, [])
            if len(tensors) > 1:
                self._notes.append(f"{name} is not tied: the gradients of its two copies are added")
            if tensors:
                total = sum(tensor.grad.to(self._master) for tensor in tensors) / self._scale
                values[f"grad:{name}"] = to_numpy(total, name)
        if silent:
            self._notes.append("no gradient arrived at " + ", ".join(silent) + "; taken as 0")
        return values | self._updates()

    def _updates(self) -> Arrays:
        """New minus old weights."""
        step = self._case.optimizer
        if step is None or (self._wanted is not None and not any(n.startswith("update:") for n in self._wanted)):
            return {}
        do = self._step
        if do is None:
            if (reason := torch_step.why_no_step(step)) is not None:
                self._notes.append(f"no update: {reason}")
                return {}
            do = torch_step.adamw_step
        leaves, moments, old = {}, {}, {}
        for name, tensors in self._owners.items():
            for key, tensor in zip((name, f"decoder {name}"), tensors, strict=False):
                leaves[key] = self._leaf(name, tensor)
                old[key] = leaves[key].detach().clone()
                for moment in step.optimizer.rule.moments:
                    start = torch.from_numpy(np.asarray(step.moments[f"{name}/{moment}"]))
                    moments[f"{key}/{moment}"] = start.to(leaves[key], copy=True)
        do(leaves, step, moments)
        moments.clear()
        return {f"update:{name}": to_numpy(leaves[name].detach() - old.pop(name)) for name in self._owners}

    def _leaf(self, name: str, tensor: Any) -> Any:
        """The parameter itself, or a copy in the type in which the optimiser works, with the unscaled gradient."""
        if tensor.dtype == self._master and self._scale == 1:
            return tensor
        leaf = torch.from_numpy(self._case.params[name]).to(tensor.device, self._master).requires_grad_()
        leaf.grad = tensor.grad.to(self._master) / self._scale
        return leaf


def _dropout(model: Any) -> str:
    """Whether a model in train mode drops anything out, in words; "" if not. Modules do; a rate of the config alone may
    be applied without one."""
    modules = (one for one in model.modules() if isinstance(one, torch.nn.modules.dropout._DropoutNd))
    if any(one.training and one.p > 0 for one in modules):
        return "dropout is active"
    config = getattr(model, "config", None)
    rates = [f"{name} {rate}" for name in FUNCTIONAL_RATES if (rate := getattr(config, name, None))]
    return f"dropout may be active (in its config: {', '.join(rates)})" if rates else ""
