"""Mistakes in the pooler and in the two heads of pre-training."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .mistake import Function, Mistake, Model, Patch

SECTION = "heads"


def pooler(formula: Callable[[Any, torch.Tensor], torch.Tensor]) -> Patch:
    """`formula(module, hidden states)` for the pooler."""

    def patch(model: Model) -> None:
        module = model.bert.pooler
        module.forward = lambda x: formula(module, x)

    return patch


def decoder(
    formula: Callable[[Any, torch.Tensor], torch.Tensor], path: str = "cls.predictions.decoder"
) -> Patch:
    """`formula(module, transformed)` for the decoder of the MLM head."""

    def patch(model: Model) -> None:
        module = model.get_submodule(path)
        module.forward = lambda x: formula(module, x)

    return patch


def stale_table(module: Any, x: torch.Tensor) -> torch.Tensor:
    """A decoder that was never tied: numbers of its own."""
    generator = torch.Generator().manual_seed(0)
    table = 0.02 * torch.randn(module.weight.shape, generator=generator)
    return F.linear(x, table.to(x.dtype), module.bias)


def without_gelu(model: Model) -> None:
    model.cls.predictions.transform.transform_act_fn = Function(lambda x: x)


def without_norm(model: Model) -> None:
    transform = model.cls.predictions.transform
    transform.forward = lambda x: transform.transform_act_fn(transform.dense(x))


def without_transform(model: Model) -> None:
    model.cls.predictions.transform.forward = lambda x: x


def sentence_from_hidden_state(model: Model) -> None:
    """The sentence head reads the raw first token, not the pooled one."""
    module = model.cls
    kept: list[torch.Tensor] = []
    pool = model.bert.pooler.forward

    def remember(x: torch.Tensor) -> torch.Tensor:
        kept[:] = [x[:, 0]]
        return pool(x)

    model.bert.pooler.forward = remember
    module.forward = lambda x, pooled: (module.predictions(x), module.seq_relationship(kept[0] + 0 * pooled))


MISTAKES = [
    Mistake("pooler-tanh-missing", SECTION, "huggingface/transformers#782", "pooled",
            pooler(lambda module, x: module.dense(x[:, 0]))),
    Mistake("pooler-reads-last-column", SECTION, "huggingface/transformers#7540", "pooled_pre",
            pooler(lambda module, x: torch.tanh(module.dense(x[:, -1])))),
    Mistake("pooler-reads-second-token", SECTION, "google-research/bert#1067", "pooled_pre",
            pooler(lambda module, x: torch.tanh(module.dense(x[:, 1])))),
    Mistake("mean-pooling", SECTION, "jina-ai/clip-as-service#492", "pooled_pre",
            pooler(lambda module, x: torch.tanh(module.dense(x.mean(1))))),
    Mistake("sentence-head-reads-hidden-state", SECTION, "google-research/bert#43", "nsp.logits",
            sentence_from_hidden_state),
    Mistake("mlm-activation-missing", SECTION, "google/trax#1309", "mlm.act", without_gelu),
    Mistake("mlm-norm-missing", SECTION, "google/trax#1309", "mlm.transform", without_norm),
    Mistake("mlm-transform-missing", SECTION, "google/trax#1309", "mlm.transform", without_transform),
    Mistake("decoder-bias-missing", SECTION, "vllm-project/vllm#46835", "mlm.logits",
            decoder(lambda module, x: F.linear(x, module.weight, 0 * module.bias))),
    Mistake("decoder-bias-twice", SECTION, "huggingface/transformers#2957", "mlm.logits",
            decoder(lambda module, x: F.linear(x, module.weight, 2 * module.bias))),
    Mistake("decoder-not-tied", SECTION, "pytorch/xla#1245", "mlm.logits", decoder(stale_table)),
]  # fmt: skip
