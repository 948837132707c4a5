"""One case on one torch model: forward under the watch, backward, one step of the optimiser."""

from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from ...heads import parameter_shapes
from ..records import Answers, Arrays, Case
from . import torch_step
from .arrays import to_numpy
from .torch_model import parts, place_hooks
from .torch_watch import TorchWatch

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
        self._parts = parts(model)
        self._watch = TorchWatch(case.batch, wanted)
        self._notes: list[str] = []
        dtype = next(model.parameters()).dtype
        self._master = torch.float64 if dtype == torch.float64 else torch.float32
        self._scale = FLOAT16_LOSS_SCALE if dtype == torch.float16 or autocast == "float16" else 1.0
        place_hooks(self._watch, self._parts, case.config)

    def answers(self) -> Answers:
        backward = self._wanted is None or any(name.startswith(("grad:", "update:")) for name in self._wanted)
        if backward and not self._parts.complete:
            self._notes.append("no losses and gradients: the model hasn't got both heads of pre-training")
            backward = False
        if self._model.training:
            self._notes.append("the model is in train mode: dropout is active; call model.eval() to verify without")
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
        if self._wanted is not None:
            values = {name: value for name, value in values.items() if name in self._wanted}
        self._notes += self._watch.notes
        return Answers(values, tuple(dict.fromkeys(self._notes)))

    def _forward(self, device: Any) -> Any:
        """Runs the model under the watch; the total loss, None without both heads."""
        batch, numerics = self._case.batch, self._case.numerics

        def send(array: Any) -> Any:
            return torch.from_numpy(np.asarray(array, np.int64)).to(device)

        inputs = {name: send(getattr(batch, name)) for name in ("input_ids", "attention_mask", "token_type_ids")}
        reason = torch_step.why_not_labels(batch, numerics)
        if self._parts.complete and reason is None:
            inputs["labels"] = torch_step.labels(batch).to(device)
            inputs["next_sentence_label"] = send(batch.next_sentence_label)
        with self._watch:
            output = self._model(**inputs, return_dict=True)
        if not self._parts.complete:
            return None
        if reason is None:
            for name, key in (("loss.mlm", "masked_lm_loss"), ("loss.nsp", "next_sentence_loss")):
                self._watch.see(name, getattr(output, key, None))
            total = output.loss
        else:
            self._notes.append(f"the losses are computed from the model's logits by bertref: {reason}")
            mlm, nsp, total = torch_step.losses(
                output.prediction_logits, output.seq_relationship_logits, batch, numerics
            )
            self._watch.see("loss.mlm", mlm)
            self._watch.see("loss.nsp", nsp)
        self._watch.see("loss.total", total)
        return total

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
        for name in parameter_shapes(self._case.config):
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
