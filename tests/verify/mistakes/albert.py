"""Mistakes in ALBERT: the projection of its embeddings, the layers that share, its norms, its sentence order."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from .mistake import Function, Mistake, Model, Patch, called_with, untied
from .optimizer import adamw

SECTION = "albert"
CASE: dict[str, Any] = {"variant": "albert"}
FIRST_GRADIENT = "grad:bert.encoder.layer.0.output.LayerNorm.weight"
"""Of the parameters that layers share: the way back comes to it first."""
FIRST_UPDATE = "update:bert.encoder.layer.0.attention.self.query.weight"

Tensor = torch.Tensor


def projection(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """The projection of the embeddings by `formula(module, x)`."""

    def patch(model: Model) -> None:
        module = model.albert.encoder.embedding_hidden_mapping_in
        module.forward = lambda x: formula(module, x)

    return patch


# -- layers that share -------------------------------------------------------------------------------------------------


@contextmanager
def with_values(module: Any, values: Mapping[str, Tensor]) -> Iterator[None]:
    """The module with other tensors for its parameters, by their names, in the body."""
    held = [(part, key, value) for part in module.modules() for key, value in part._parameters.items()]
    names = {id(value): name for name, value in module.named_parameters()}
    for part, key, value in held:
        part._parameters[key] = values[names[id(value)]]
    try:
        yield
    finally:
        for part, key, value in held:
            part._parameters[key] = value


def in_layers(of_layer: Callable[[Model, int], Mapping[str, Tensor] | None]) -> Patch:
    """The layers computed with `of_layer(model, number)` for the parameters of their group; None: with its own."""

    def patch(model: Model) -> None:
        groups, calls = list(model.albert.encoder.albert_layer_groups), [0]
        L = model.config.num_hidden_layers

        def patched(group: Any) -> Callable[..., Tensor]:
            forward = group.forward

            def one(*args: Any, **given: Any) -> Tensor:
                values = of_layer(model, calls[0] % L)
                calls[0] += 1
                with with_values(group, values or dict(group.named_parameters())):
                    made: Tensor = forward(*args, **given)
                return made

            return one

        for group in groups:
            group.forward = patched(group)

    return patch


def _own(model: Model, group: int = 0) -> dict[str, Tensor]:
    return dict(model.albert.encoder.albert_layer_groups[group].named_parameters())


def not_shared(model: Model, i: int) -> Mapping[str, Tensor] | None:
    """Layers after the first have numbers of their own."""
    draw = torch.Generator().manual_seed(i)
    return None if i == 0 else {
        name: (value + 0.1 * torch.randn(value.shape, generator=draw).to(value)).detach()
        for name, value in _own(model).items()
    }  # fmt: skip


def in_turn(model: Model, i: int) -> Mapping[str, Tensor]:
    """The groups one after the other, and again."""
    return _own(model, i % model.config.num_hidden_groups)


def without_gradient(*layers: int) -> Callable[[Model, int], Mapping[str, Tensor] | None]:
    def of_layer(model: Model, i: int) -> Mapping[str, Tensor] | None:
        return {name: value.detach() for name, value in _own(model).items()} if i in layers else None

    return of_layer


def averaged(model: Model) -> None:
    L = model.config.num_hidden_layers
    for parameter in _own(model).values():
        parameter.register_hook(lambda gradient: gradient / L)  # type: ignore[no-untyped-call]


# -- what else is ALBERT's ---------------------------------------------------------------------------------------------


def exact_gelu(model: Model) -> None:
    for module in (*model.albert.encoder.albert_layer_groups[0].albert_layers, model.predictions):
        module.activation = Function(F.gelu)


def norms_exchanged(model: Model) -> None:
    """Each of a layer's norms with the gamma and beta of the other."""
    layer = model.albert.encoder.albert_layer_groups[0].albert_layers[0]
    first, second = layer.attention.LayerNorm, layer.full_layer_layer_norm
    for norm, other in ((first, second), (second, first)):
        norm.forward = lambda x, norm=norm, other=other: F.layer_norm(
            x, norm.normalized_shape, other.weight, other.bias, norm.eps
        )


def pooler_without_tanh(model: Model) -> None:
    model.albert.pooler_activation = Function(lambda x: x)


def order_inverted(model: Model) -> None:
    name = "sentence_order_label"
    called_with(model, lambda given: {**given, name: 1 - given[name]} if name in given else given)


MISTAKES = [
    Mistake("albert-projection-missing", SECTION, "embeddings of the model's width", "embeddings.projection",
            projection(lambda module, x: x + 0 * F.linear(x, module.weight, module.bias)),
            case={**CASE, "E": 24}),
    Mistake("albert-projection-transposed", SECTION, "a kernel (in, out) that is square", "embeddings.projection",
            projection(lambda module, x: F.linear(x, module.weight.T, module.bias)), case={**CASE, "E": 24}),
    Mistake("albert-projection-bias-missing", SECTION, "nn.Linear(E, H, bias=False)", "embeddings.projection",
            projection(lambda module, x: F.linear(x, module.weight, 0 * module.bias)), case=CASE),
    Mistake("albert-layers-not-shared", SECTION, "every layer made anew, and only the first loaded", "layer.1.query",
            in_layers(not_shared), case=CASE),
    Mistake("albert-groups-in-turn", SECTION, "layer i of group i % groups", "layer.1.query", in_layers(in_turn),
            case={**CASE, "L": 4, "G": 2}),
    Mistake("albert-gradient-of-first-layer", SECTION, "the gradient is assigned by each layer on the way back",
            FIRST_GRADIENT, in_layers(without_gradient(1)), case=CASE),
    Mistake("albert-gradient-of-last-layer", SECTION, "the gradient of the first layer on the way back is kept",
            FIRST_GRADIENT, in_layers(without_gradient(0)), case=CASE),
    Mistake("albert-gradient-averaged", SECTION, "a mean over the layers", FIRST_GRADIENT, averaged, case=CASE),
    Mistake("albert-stepped-in-each-layer", SECTION, "a shared parameter that is listed once a layer", FIRST_UPDATE,
            step=partial(adamw, steps=lambda name: 3 if ".encoder.layer." in name else 1), case={**CASE, "L": 3}),
    Mistake("albert-exact-gelu", SECTION, "gelu for gelu_new", "layer.0.ffn_act", exact_gelu,
            case={**CASE, "numerics": {"gelu": "tanh"}}),
    Mistake("albert-norms-exchanged", SECTION, "full_layer_layer_norm and attention.LayerNorm, loaded by their order",
            "layer.0.attention_norm", norms_exchanged, case=CASE),
    Mistake("albert-pooler-tanh-missing", SECTION, "a pooler that is a dense layer alone", "pooled",
            pooler_without_tanh, case=CASE),
    Mistake("albert-order-inverted", SECTION, "0 is the right order", "loss.nsp", order_inverted, case=CASE),
    Mistake("albert-decoder-untied", SECTION, "huggingface/transformers#18676",
            "update:bert.embeddings.word_embeddings.weight", untied("predictions.decoder"), case=CASE),
]  # fmt: skip
