"""What a mistake is, and small tools with which an independent model is made to have one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .causes import ACCEPTED
from .variant_causes import ACCEPTED as OF_VARIANTS

Model = Any
Patch = Callable[[Model], None]


@dataclass(frozen=True)
class Mistake:
    """One thing that somebody got wrong.

    section  what of the computation it is in
    source   where it was met: an issue, a pull request, or code
    first    the first wrong tensor, in canonical names; "{last}" and "{previous}" stand for the numbers of the last
             layer and of the one before. It was written down from the mathematics, before anything was verified
    patch    puts the mistake into a `transformers.BertForPreTraining`, or the class of the case's network and head (two
             layers or more, eager attention)
    step     an optimiser step that has it, instead of torch's
    dtypes   in which it has to be found
    case     options of the case: the network, the head
    """

    name: str
    section: str
    source: str
    first: str
    patch: Patch | None = None
    step: Callable[..., None] | None = None
    dtypes: tuple[str, ...] = ("float32",)
    case: Mapping[str, Any] = field(default_factory=dict)

    def expected(self, layers: int) -> str:
        """`first` for a model of that depth."""
        return self.first.format(last=layers - 1, previous=layers - 2)

    @property
    def causes(self) -> tuple[str, ...]:
        """The ids of causes that are right to name (`ACCEPTED` of `causes` and of `variant_causes`)."""
        return ACCEPTED[self.name] if self.name in ACCEPTED else OF_VARIANTS[self.name]


def layer_norms(model: Model) -> list[nn.LayerNorm]:
    """Every layer norm of a model."""
    return [module for module in model.modules() if isinstance(module, nn.LayerNorm)]


def layers(model: Model) -> list[Any]:
    """The encoder's layers."""
    return list(model.bert.encoder.layer)


def together(*patches: Patch) -> Patch:
    """One patch that does all."""

    def patch(model: Model) -> None:
        for each in patches:
            each(model)

    return patch


class Function(nn.Module):
    """A function where a model wants a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def set_activations(model: Model, function: Callable[[torch.Tensor], torch.Tensor], *, heads: bool = True) -> None:
    """Replaces the activation of every feed-forward network, and of the MLM head."""
    for layer in layers(model):
        layer.intermediate.intermediate_act_fn = Function(function)
    if heads:
        model.cls.predictions.transform.transform_act_fn = Function(function)


def called_with(model: Model, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The model gets other arguments than it is called with."""
    model.register_forward_pre_hook(lambda _, args, given: (args, change(given)), with_kwargs=True)


def untied(path: str) -> Patch:
    """The decoder at that place has a table of its own, with the same numbers."""

    def patch(model: Model) -> None:
        module = model.get_submodule(path)
        module.weight = nn.Parameter(module.weight.detach().clone())

    return patch


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.factor, None


def scale_gradient(x: torch.Tensor, factor: float) -> torch.Tensor:
    """x, whose gradient on the way back is multiplied by a factor; 0 loses it."""
    return _ScaleGradient.apply(x, factor)
