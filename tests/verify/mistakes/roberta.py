"""Mistakes in RoBERTa: positions, its only token type, what BERT has otherwise, its two heads."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .heads import decoder
from .mistake import Mistake, Model, Patch, called_with, layer_norms, untied

SECTION = "roberta"
WORDS, TEXTS = {"variant": "roberta"}, {"variant": "roberta", "head": "sequence_classification"}

Tensor = torch.Tensor


def positions(formula: Callable[[Tensor, int], Tensor]) -> Patch:
    """Positions by `formula(ids, padding id)`."""

    def patch(model: Model) -> None:
        model.roberta.embeddings.create_position_ids_from_input_ids = lambda ids, padding, past=0: formula(ids, padding)

    return patch


def columns(ids: Tensor) -> Tensor:
    return torch.arange(ids.shape[1]).expand(ids.shape)


def counted(ids: Tensor, padding: int) -> Tensor:
    """Without the offset."""
    real = ids.ne(padding).long()
    return torch.cumsum(real, dim=1) * real


def without_types(model: Model) -> None:
    inside = model.roberta.embeddings

    def forward(input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        places = inside.create_position_ids_from_input_ids(input_ids, inside.padding_idx)
        both: Tensor = inside.LayerNorm(inside.word_embeddings(input_ids) + inside.position_embeddings(places))
        return both

    inside.forward = forward


def types_of_zeros(model: Model) -> None:
    table = model.roberta.embeddings.token_type_embeddings
    table.forward = lambda ids: 0 * F.embedding(ids, table.weight)


def epsilon_of_bert(model: Model) -> None:
    for norm in layer_norms(model):
        norm.eps = 1e-12


def mask_by_ids(model: Model) -> None:
    """The mask is made of the ids, of which 0 is taken for padding."""
    called_with(model, lambda given: {**given, "attention_mask": given["input_ids"].ne(0).long()})


def classifier(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """The classifier of texts by `formula(head, sequence)`."""

    def patch(model: Model) -> None:
        head = model.classifier
        head.forward = lambda features, **_: formula(head, features)

    return patch


def words(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """The head of masked words by `formula(head, hidden states)`."""

    def patch(model: Model) -> None:
        head = model.lm_head
        head.forward = lambda features, **_: formula(head, features)

    return patch


def without_norm(model: Model) -> None:
    model.lm_head.layer_norm.forward = lambda x: x


def logits(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """The decoder by `formula(module, transformed)`."""
    return decoder(formula, "lm_head.decoder")


MISTAKES = [
    Mistake("roberta-positions-from-0", SECTION, "huggingface/transformers#1761", "embeddings.position",
            positions(lambda ids, padding: columns(ids)), case=WORDS),
    Mistake("roberta-positions-offset-1", SECTION, "huggingface/transformers#5285", "embeddings.position",
            positions(counted), case=WORDS),
    Mistake("roberta-positions-over-padding", SECTION, "positions by the column, from the padding id on",
            "embeddings.position", positions(lambda ids, padding: columns(ids) + padding + 1),
            case={**WORDS, "edge": "padded-left", "S": 15}),
    Mistake("roberta-mask-by-padding-id-of-bert", SECTION, "a mask of ids that aren't 0", "layer.0.probs", mask_by_ids,
            case=WORDS),
    Mistake("roberta-token-type-not-added", SECTION, "there is only one, so it was left out", "embeddings.sum",
            without_types, case=WORDS),
    Mistake("roberta-token-type-of-zeros", SECTION, "a table of one row that isn't loaded", "embeddings.token_type",
            types_of_zeros, case=WORDS),
    Mistake("roberta-epsilon-of-bert", SECTION, "1e-12 for 1e-5", "embeddings.norm", epsilon_of_bert,
            case={**WORDS, "numerics": {"layer_norm_eps": 1e-5}}),
    Mistake("roberta-classifier-tanh-missing", SECTION, "a dense layer for a pooler", "pooled",
            classifier(lambda head, x: head.out_proj(head.dense(x[:, 0]))), case=TEXTS),
    Mistake("roberta-classifier-relu", SECTION, "as in DistilBERT", "pooled",
            classifier(lambda head, x: head.out_proj(F.relu(head.dense(x[:, 0])))), case=TEXTS),
    Mistake("roberta-classifier-reads-last-token", SECTION, "as in decoders", "pooled_pre",
            classifier(lambda head, x: head.out_proj(torch.tanh(head.dense(x[:, -1])))), case=TEXTS),
    Mistake("roberta-classifier-reads-mean", SECTION, "mean pooling below the head", "pooled_pre",
            classifier(lambda head, x: head.out_proj(torch.tanh(head.dense(x.mean(1))))), case=TEXTS),
    Mistake("roberta-classifier-without-dense", SECTION, "classifier.dense isn't loaded or called", "pooled",
            classifier(lambda head, x: head.out_proj(x[:, 0])), case=TEXTS),
    Mistake("roberta-lm-gelu-missing", SECTION, "a bare dense layer", "mlm.act",
            words(lambda head, x: head.decoder(head.layer_norm(head.dense(x)))), case=WORDS),
    Mistake("roberta-lm-norm-missing", SECTION, "a name that BERT has otherwise", "mlm.transform",
            without_norm, case=WORDS),
    Mistake("roberta-lm-bias-missing", SECTION, "lm_head.bias isn't that of the decoder", "mlm.logits",
            logits(lambda module, x: F.linear(x, module.weight, 0 * module.bias)), case=WORDS),
    Mistake("roberta-lm-bias-twice", SECTION, "lm_head.bias and the decoder's", "mlm.logits",
            logits(lambda module, x: F.linear(x, module.weight, 2 * module.bias)), case=WORDS),
    Mistake("roberta-decoder-untied", SECTION, "huggingface/transformers#13030",
            "update:bert.embeddings.word_embeddings.weight", untied("lm_head.decoder"), case=WORDS),
]  # fmt: skip
