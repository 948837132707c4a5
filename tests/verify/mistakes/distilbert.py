"""Mistakes in DistilBERT: what BERT has and it hasn't, its positions, its attention, its heads."""

from collections.abc import Callable
from typing import Any

import torch

from .mistake import Function, Mistake, Model, Patch, layer_norms

SECTION = "distilbert"
WORDS, TEXTS = {"variant": "distilbert"}, {"variant": "distilbert", "head": "sequence_classification"}

Tensor = torch.Tensor


def with_types(model: Model) -> None:
    """As BERT has them: the same vector is added to the embeddings of all tokens of type 0."""
    inside = model.distilbert.embeddings
    row = 0.026 * torch.randn(inside.word_embeddings.weight.shape[1], generator=torch.Generator().manual_seed(3))

    def forward(input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        places = inside.position_ids[:, : input_ids.shape[1]]
        both = inside.word_embeddings(input_ids) + inside.position_embeddings(places)
        added: Tensor = inside.LayerNorm(both + row.to(both))
        return added

    inside.forward = forward


def looked_up(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """Positions by `formula(table, ids of positions)`."""

    def patch(model: Model) -> None:
        table = model.distilbert.embeddings.position_embeddings
        table.forward = lambda ids: formula(table, ids)

    return patch


def sinusoids(table: Any, ids: Tensor) -> Tensor:
    """Sine and cosine in turn, as the model's option `sinusoidal_pos_embds` makes them."""
    width = table.weight.shape[1]
    angles = ids[..., None].double() / 10000 ** (torch.arange(0, width, 2).double() / width)
    both = torch.stack((torch.sin(angles), torch.cos(angles)), -1).flatten(-2)
    return both.to(table.weight) + 0 * table.weight.sum()


def epsilon_of_torch(model: Model) -> None:
    for norm in layer_norms(model):
        norm.eps = 1e-5


def scaled_by_width(model: Model) -> None:
    for layer in model.distilbert.transformer.layer:
        layer.attention.scaling = layer.attention.dim**-0.5


def activated_by(function: Callable[[Tensor], Tensor]) -> Patch:
    """The classifier reads `function(what the dense layer makes)`."""

    def patch(model: Model) -> None:
        kept: list[Tensor] = []
        model.pre_classifier.register_forward_hook(lambda _, args, output: kept.append(output))
        model.dropout.forward = lambda x: function(kept.pop()) + 0 * x

    return patch


def without_dense(model: Model) -> None:
    """The classifier reads the first token as it is."""
    kept: list[Tensor] = []
    model.pre_classifier.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    model.dropout.forward = lambda x: kept.pop() + 0 * x


def without_gelu(model: Model) -> None:
    model.activation = Function(lambda x: x)


MISTAKES = [
    Mistake("distilbert-token-types-added", SECTION, "BERT's embeddings with a table of token types",
            "embeddings.sum", with_types, case=WORDS),
    Mistake("distilbert-positions-of-roberta", SECTION, "huggingface/transformers#1052", "embeddings.position",
            looked_up(lambda table, ids: table.weight[(ids + 2) % len(table.weight)]), case=WORDS),
    Mistake("distilbert-positions-sinusoidal", SECTION, "guillaume-be/rust-bert#228", "embeddings.position",
            looked_up(sinusoids), case=WORDS),
    Mistake("distilbert-epsilon-of-torch", SECTION, "nn.LayerNorm(dim)", "embeddings.norm", epsilon_of_torch,
            case=WORDS),
    Mistake("distilbert-scale-by-width", SECTION, "q / sqrt(dim)", "layer.0.scores", scaled_by_width, case=WORDS),
    Mistake("distilbert-classifier-relu-missing", SECTION, "pre_classifier alone", "pooled",
            activated_by(lambda x: x), case=TEXTS),
    Mistake("distilbert-classifier-tanh", SECTION, "as in BERT's pooler", "pooled", activated_by(torch.tanh),
            case=TEXTS),
    Mistake("distilbert-classifier-without-dense", SECTION, "pre_classifier isn't loaded or used", "pooled",
            without_dense, case=TEXTS),
    Mistake("distilbert-mlm-activation-missing", SECTION, "vocab_transform alone", "mlm.act", without_gelu,
            case=WORDS),
]  # fmt: skip
