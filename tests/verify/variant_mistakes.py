"""Mistakes that people make in RoBERTa, DistilBERT and ALBERT, put into transformers' models on torch.

Each names the first tensor that it makes wrong, written from the mathematics. Positions that are counted over padding
are not among them: the rows of a case are padded on the right, where that changes no real token's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Patch = Callable[[Any], None]


@dataclass(frozen=True)
class VariantMistake:
    """`patch` puts it into the class `kind` of the network `network` (`variant_cases.OWN`)."""

    name: str
    network: str
    kind: str
    first: str
    patch: Patch


def positions(formula: Callable[[Tensor, int], Tensor]) -> Patch:
    """Positions by `formula(ids, padding id)`."""

    def patch(model: Any) -> None:
        model.roberta.embeddings.create_position_ids_from_input_ids = lambda ids, padding, past=0: formula(ids, padding)

    return patch


def columns(ids: Tensor) -> Tensor:
    return torch.arange(ids.shape[1]).expand(ids.shape)


def counted(ids: Tensor, padding: int) -> Tensor:
    real = ids.ne(padding).long()
    return torch.cumsum(real, dim=1) * real


def without_types(model: Any) -> None:
    table = model.roberta.embeddings.token_type_embeddings
    table.forward = lambda ids: 0 * F.embedding(ids, table.weight)


def with_types(model: Any) -> None:
    """As BERT has them: something is added to every embedding."""
    inside = model.distilbert.embeddings

    def forward(ids: Tensor, *_: Any, **__: Any) -> Tensor:
        both = inside.word_embeddings(ids) + inside.position_embeddings(columns(ids)[:1])
        added: Tensor = inside.LayerNorm(both + 0.01 * torch.arange(both.shape[-1]))
        return added

    inside.forward = forward


def classifier_head(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """RoBERTa's classifier of texts by `formula(head, sequence)`."""

    def patch(model: Any) -> None:
        head = model.classifier
        head.forward = lambda features, **_: formula(head, features)

    return patch


def without_relu(model: Any) -> None:
    """The classifier reads what the dense layer makes."""
    kept: list[Tensor] = []
    model.pre_classifier.register_forward_hook(lambda _, args, output: kept.append(output))
    out = model.classifier
    forward = out.forward
    out.forward = lambda x: forward(kept.pop())
    model.dropout.forward = lambda x: kept[-1] + 0 * x


def projection(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """ALBERT's projection of the embeddings by `formula(module, x)`."""

    def patch(model: Any) -> None:
        module = model.albert.encoder.embedding_hidden_mapping_in
        module.forward = lambda x: formula(module, x)

    return patch


def every_second_call(change: Callable[[Any, Tensor], Tensor]) -> Patch:
    """The query's projection by `change(module, x)` in the second layer."""

    def patch(model: Any) -> None:
        module = model.albert.encoder.albert_layer_groups[0].albert_layers[0].attention.query
        forward, calls = module.forward, [0]

        def second(x: Tensor) -> Tensor:
            calls[0] += 1
            return change(module, x) if calls[0] % 2 == 0 else forward(x)

        module.forward = second

    return patch


def inverted_order(model: Any) -> None:
    forward = model.forward
    model.forward = lambda sentence_order_label, **given: forward(
        **given, sentence_order_label=1 - sentence_order_label
    )


MISTAKES = (
    VariantMistake("positions from 0", "roberta", "ForMaskedLM", "embeddings.position",
                   positions(lambda ids, padding: columns(ids))),
    VariantMistake("offset 1", "roberta", "ForMaskedLM", "embeddings.position",
                   positions(lambda ids, padding: counted(ids, padding))),
    VariantMistake("pad id of BERT", "roberta", "ForMaskedLM", "embeddings.position",
                   positions(lambda ids, padding: counted(ids, 0))),
    VariantMistake("token types missing", "roberta", "ForMaskedLM", "embeddings.token_type", without_types),
    VariantMistake("tanh missing in the head", "roberta", "ForSequenceClassification", "pooled",
                   classifier_head(lambda head, x: head.out_proj(head.dense(x[:, 0])))),
    VariantMistake("last token pooled", "roberta", "ForSequenceClassification", "pooled_pre",
                   classifier_head(lambda head, x: head.out_proj(torch.tanh(head.dense(x[:, -1]))))),
    VariantMistake("token types added", "distilbert", "ForMaskedLM", "embeddings.sum", with_types),
    VariantMistake("relu missing in the head", "distilbert", "ForSequenceClassification", "pooled", without_relu),
    VariantMistake("projection missing", "albert", "ForPreTraining", "embeddings.projection",
                   projection(lambda module, x: x + 0 * F.linear(x, module.weight, module.bias))),
    VariantMistake("projection transposed", "albert", "ForPreTraining", "embeddings.projection",
                   projection(lambda module, x: F.linear(x, module.weight.T, module.bias))),
    VariantMistake("layers not shared", "albert", "ForPreTraining", "layer.1.query",
                   every_second_call(lambda module, x: F.linear(x, 1.1 * module.weight, module.bias))),
    VariantMistake("gradient of one layer", "albert", "ForPreTraining",
                   "grad:bert.encoder.layer.0.attention.self.query.weight",
                   every_second_call(lambda module, x: F.linear(x, module.weight.detach(), module.bias.detach()))),
    VariantMistake("order of sentences inverted", "albert", "ForPreTraining", "loss.nsp", inverted_order),
)  # fmt: skip
