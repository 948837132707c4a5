"""Mistakes in the embeddings and in the layer norm, which is first met there."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .mistake import Mistake, Model, Patch, layer_norms, layers

SECTION = "embeddings"


def epsilon(value: float, *, embeddings: bool = True) -> Patch:
    def patch(model: Model) -> None:
        for norm in layer_norms(model):
            if embeddings or norm is not model.bert.embeddings.LayerNorm:
                norm.eps = value

    return patch


def norms(formula: Callable[[torch.Tensor, nn.LayerNorm], torch.Tensor]) -> Patch:
    """Every layer norm computed by `formula(x, module)`."""

    def patch(model: Model) -> None:
        for norm in layer_norms(model):
            norm.forward = lambda x, norm=norm: formula(x, norm)  # type: ignore[method-assign]

    return patch


def unbiased(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = x.var(-1, keepdim=True, unbiased=True)
    return centred / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def squared(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = x.var(-1, keepdim=True, unbiased=False)
    return centred / (variance + norm.eps) ** 2 * norm.weight + norm.bias


def without_affine(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return F.layer_norm(x, norm.normalized_shape, None, None, norm.eps) + 0 * (norm.weight + norm.bias)


def without_centring(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + norm.eps) * norm.weight + norm.bias


def in_half(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    half = torch.float16
    y = F.layer_norm(x.to(half), norm.normalized_shape, norm.weight.to(half), norm.bias.to(half), norm.eps)
    return y.to(x.dtype)


def embed(change: Callable[..., Any], *, add_types: bool = True, normalise: bool = True) -> Patch:
    """The embeddings, written again, with `change(module, ids, types, places)` applied to the three ids."""

    def patch(model: Model) -> None:
        module = model.bert.embeddings

        def forward(input_ids: Any = None, token_type_ids: Any = None, **_: Any) -> torch.Tensor:
            places = torch.arange(input_ids.shape[1]).expand(input_ids.shape)
            ids, types, places = change(module, input_ids, token_type_ids, places)
            words, segments = module.word_embeddings(ids), module.token_type_embeddings(types)
            x = words + segments if add_types else words
            x = x + module.position_embeddings(places)
            return module.dropout(module.LayerNorm(x) if normalise else x)

        module.forward = forward

    return patch


def types_ignored(module: Any, ids: Any, types: Any, places: Any) -> Any:
    return ids, torch.zeros_like(types), places


def positions_shifted(module: Any, ids: Any, types: Any, places: Any) -> Any:
    rows = module.position_embeddings.num_embeddings
    return ids, types, (places + 2) % rows


def positions_restarted(module: Any, ids: Any, types: Any, places: Any) -> Any:
    starts = (types == 0).sum(1, keepdim=True)
    return ids, types, torch.where(types == 1, (places - starts).clamp(min=0), places)


def one_position(module: Any, ids: Any, types: Any, places: Any) -> Any:
    return ids, types, places * 0


def sinusoids(model: Model) -> None:
    module = model.bert.embeddings.position_embeddings
    rows, width = module.num_embeddings, module.embedding_dim
    angles = torch.arange(rows)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)[None, :]
    table = torch.stack([torch.sin(angles), torch.cos(angles)], -1).reshape(rows, -1)[:, :width]
    module.forward = lambda ids: F.embedding(ids, table.to(module.weight.dtype) + 0 * module.weight)


def arguments_swapped(model: Model) -> None:
    """token_type_ids where the attention mask belongs, and the other way round."""
    original = model.forward

    def forward(input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, **rest: Any) -> Any:
        return original(input_ids=input_ids, attention_mask=token_type_ids, token_type_ids=attention_mask, **rest)

    model.forward = forward


def scaled_words(model: Model) -> None:
    """Multiplied by sqrt(H), as in the original Transformer."""
    module = model.bert.embeddings.word_embeddings
    module.forward = lambda ids: F.embedding(ids, module.weight) * math.sqrt(module.embedding_dim)


def encoder_epsilon(model: Model) -> None:
    for layer in layers(model):
        layer.attention.output.LayerNorm.eps = layer.output.LayerNorm.eps = 1e-5


def unchanged(module: Any, ids: Any, types: Any, places: Any) -> Any:
    return ids, types, places


MISTAKES = [
    Mistake("layer-norm-epsilon-1e-5", SECTION, "keras-team/keras-hub#642", "embeddings.norm", epsilon(1e-5),
            dtypes=("float32", "bfloat16")),
    Mistake("layer-norm-epsilon-1e-3", SECTION, "tensorflow/tensorflow#24979", "embeddings.norm", epsilon(1e-3)),
    Mistake("encoder-epsilon-1e-5", SECTION, "keras-team/keras-hub#665", "layer.0.attention_norm", encoder_epsilon),
    Mistake("unbiased-variance", SECTION, "codertimo/BERT-pytorch#30", "embeddings.norm", norms(unbiased)),
    Mistake("variance-squared-for-root", SECTION, "TPlinker#37", "embeddings.norm", norms(squared)),
    Mistake("gamma-and-beta-not-applied", SECTION, "huggingface/candle#1887", "embeddings.norm", norms(without_affine)),
    Mistake("mean-not-subtracted", SECTION, "root-mean-square norms", "embeddings.norm", norms(without_centring)),
    Mistake("layer-norm-in-float16", SECTION, "NVIDIA/TransformerEngine#2084", "embeddings.norm", norms(in_half)),
    Mistake("embedding-norm-missing", SECTION, "codertimo/BERT-pytorch, bert.py", "embeddings.norm",
            embed(unchanged, normalise=False)),
    Mistake("token-types-not-added", SECTION, "lucidrains/x-transformers#213", "embeddings.sum",
            embed(unchanged, add_types=False)),
    Mistake("token-types-all-zero", SECTION, "skeskinen/bert.cpp, ggml_set_zero", "embeddings.token_type",
            embed(types_ignored)),
    Mistake("mask-and-types-swapped", SECTION, "huggingface/transformers#1788", "embeddings.token_type",
            arguments_swapped),
    Mistake("positions-shifted-by-two", SECTION, "sbryngelson/ANEForge#257", "embeddings.position",
            embed(positions_shifted)),
    Mistake("positions-restart-at-segment", SECTION, "packed inputs", "embeddings.position",
            embed(positions_restarted)),
    Mistake("positions-constant", SECTION, "a table read at one row", "embeddings.position", embed(one_position)),
    Mistake("sinusoids-for-learnt-positions", SECTION, "guillaume-be/rust-bert#228", "embeddings.position", sinusoids),
    Mistake("words-times-root-of-width", SECTION, "Vaswani et al. 2017, section 3.4", "embeddings.word", scaled_words),
]  # fmt: skip
