"""Mistakes that leave the forward pass right: wrong gradients, lost paths, sums that should be means."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .attention import attention
from .loss import IGNORED, mlm_loss, objective
from .mistake import Mistake, Model, Patch, layer_norms, layers, scale_gradient, set_activations

SECTION = "backward"
Tensor = torch.Tensor


class _Derivative(torch.autograd.Function):
    """An elementwise function with a derivative of one's own choice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], slope: Callable[..., Tensor]) -> Tensor:
        y = function(x)
        ctx.slope = slope
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.slope(*ctx.saved_tensors), None, None


def with_slope(
    function: Callable[[Tensor], Tensor], slope: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """`slope(x, y)` is used as the derivative of y = function(x)."""
    return lambda x: _Derivative.apply(x, function, slope)


def normal_share(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_slope_without_density(x: Tensor, y: Tensor) -> Tensor:
    return normal_share(x)


def gelu_tanh_slope(x: Tensor, y: Tensor) -> Tensor:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(F.gelu(point, approximate="tanh").sum(), point)
    return slope


class _NormWithConstantStatistics(torch.autograd.Function):
    """dx = dy gamma / sigma: mean and variance taken for constants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        inverse = 1 / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + eps)
        normed = (x - x.mean(-1, keepdim=True)) * inverse
        ctx.save_for_backward(normed, inverse, gamma)
        return normed * gamma + beta

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        normed, inverse, gamma = ctx.saved_tensors
        return dy * gamma * inverse, (dy * normed).flatten(0, -2).sum(0), dy.flatten(0, -2).sum(0), None


def norm_statistics_constant(model: Model) -> None:
    for norm in layer_norms(model):
        norm.forward = lambda x, norm=norm: _NormWithConstantStatistics.apply(x, norm.weight, norm.bias, norm.eps)


class _GammaFromOutput(torch.autograd.Function):
    """y = normed * gamma; the gradient of gamma is made of y, where normed belongs."""

    @staticmethod
    def forward(ctx: Any, normed: Tensor, gamma: Tensor) -> Tensor:
        ctx.save_for_backward(normed, gamma)
        return normed * gamma

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        normed, gamma = ctx.saved_tensors
        return dy * gamma, (dy * normed * gamma).flatten(0, -2).sum(0)


def gamma_from_output(model: Model) -> None:
    norm = layers(model)[-1].output.LayerNorm

    def forward(x: Tensor) -> Tensor:
        normed = F.layer_norm(x, norm.normalized_shape, None, None, norm.eps)
        return _GammaFromOutput.apply(normed, norm.weight) + norm.bias

    norm.forward = forward


class _RowSumTwice(torch.autograd.Function):
    """The identity on the scores. The softmax's gradient is y (dy - Σ y dy); here Σ y dy / n is taken off once more."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        ctx.save_for_backward(torch.softmax(scores, -1))
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx: Any, dscores: Tensor) -> Tensor:
        (probs,) = ctx.saved_tensors
        return dscores - probs * dscores.abs().sum(-1, keepdim=True)


def softmax_gradient_off(scores: Tensor) -> Tensor:
    return torch.softmax(_RowSumTwice.apply(scores), -1)


def no_gradient_through(name: str) -> Patch:
    """The residual of one half of every layer is detached: "attention" or "output"."""

    def patch(model: Model) -> None:
        for layer in layers(model):
            module = layer.attention.output if name == "attention" else layer.output
            module.forward = lambda x, residual, module=module: module.LayerNorm(
                module.dense(x) + scale_gradient(residual, 0.0)
            )

    return patch


def pooler_detached(model: Model) -> None:
    pool = model.bert.pooler.forward
    model.bert.pooler.forward = lambda x: pool(scale_gradient(x, 0.0))


def tanh_slope(model: Model) -> None:
    """1 - y, where 1 - y² belongs."""
    model.bert.pooler.activation.forward = with_slope(torch.tanh, lambda x, y: 1 - y)


# ---------------------------------------------------------------------------------------------------------------------
# parameters


def decoder_path_lost(model: Model) -> None:
    decoder = model.cls.predictions.decoder
    decoder.forward = lambda x: F.linear(x, scale_gradient(decoder.weight, 0.0), decoder.bias)


def input_path_lost(model: Model) -> None:
    words = model.bert.embeddings.word_embeddings
    words.forward = lambda ids: F.embedding(ids, scale_gradient(words.weight, 0.0))


class _LastRowWins(torch.autograd.Function):
    """A lookup whose gradient is assigned, not added, where an id comes twice."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.rows = table.shape[0]
        ctx.save_for_backward(ids)
        return table[ids]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        table = dy.new_zeros(ctx.rows, dy.shape[-1])
        for row, gradient in zip(ids.flatten().tolist(), dy.flatten(0, -2), strict=True):
            table[row] = gradient
        return table, None


def assigned(name: str) -> Patch:
    def patch(model: Model) -> None:
        module = getattr(model.bert.embeddings, name)
        module.forward = lambda ids: _LastRowWins.apply(module.weight, ids)

    return patch


def positions_averaged(model: Model) -> None:
    module = model.bert.embeddings.position_embeddings
    ids_seen: list[int] = []
    words = model.bert.embeddings.word_embeddings
    look_up = words.forward

    def remember(ids: Tensor) -> Tensor:
        ids_seen[:] = [ids.shape[0]]
        return look_up(ids)

    words.forward = remember
    module.forward = lambda ids: F.embedding(ids, scale_gradient(module.weight, 1 / ids_seen[0]))


def bias_averaged(model: Model) -> None:
    """The mean over the tokens, where the sum belongs."""
    module = layers(model)[-1].intermediate.dense

    def forward(x: Tensor) -> Tensor:
        return F.linear(x, module.weight, scale_gradient(module.bias, 1 / (x.shape[0] * x.shape[1])))

    module.forward = forward


class _Transpose(torch.autograd.Function):
    """The identity on a square matrix, whose gradient comes out transposed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.T


def kernel_gradient_transposed(model: Model) -> None:
    module = layers(model)[-1].attention.output.dense
    module.forward = lambda x: F.linear(x, _Transpose.apply(module.weight), module.bias)


def pooler_kernel_frozen(model: Model) -> None:
    module = model.bert.pooler.dense
    module.forward = lambda x: F.linear(x, scale_gradient(module.weight, 0.0), module.bias)


# ---------------------------------------------------------------------------------------------------------------------
# scale


def halved_loss(model: Model) -> None:
    """Divided by the number of accumulated batches although there is one."""
    forward = model.forward

    def wrapped(*args: Any, **rest: Any) -> Any:
        output = forward(*args, **rest)
        if output.loss is not None and output.loss.requires_grad:
            output.loss.register_hook(lambda gradient: gradient / 2)
        return output

    model.forward = wrapped


def summed_on_the_way_back(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    """A mean, whose gradient lacks the division by the number of predictions."""
    return mlm_loss(scale_gradient(logits, float((labels != IGNORED).sum())), labels)


def mlm_gradient_scaled(mlm: Tensor, nsp: Tensor) -> Tensor:
    return scale_gradient(mlm, 0.5) + nsp


def query_scale_forgotten(query: Tensor, scale: float) -> Tensor:
    return scale_gradient(query, 1 / scale)


MISTAKES = [
    Mistake("loss-divided-by-accumulation", SECTION, "huggingface/transformers#35438", "grad:loss.total", halved_loss),
    Mistake("mlm-loss-gradient-halved", SECTION, "huggingface/transformers#34373", "grad:loss.mlm",
            objective(total=mlm_gradient_scaled)),
    Mistake("cross-entropy-gradient-not-averaged", SECTION, "OpenNMT/OpenNMT-py#2209", "grad:mlm.logits",
            objective(summed_on_the_way_back)),
    Mistake("gelu-slope-without-density", SECTION, "half of the product rule", "grad:mlm.dense",
            lambda model: set_activations(model, with_slope(F.gelu, gelu_slope_without_density))),
    Mistake("gelu-slope-of-tanh-form", SECTION, "CyberZHG/keras-bert#129", "grad:layer.{last}.ffn_pre",
            lambda model: set_activations(model, with_slope(F.gelu, gelu_tanh_slope), heads=False)),
    Mistake("norm-statistics-constant", SECTION, "half of the chain rule", "grad:mlm.act", norm_statistics_constant),
    Mistake("gamma-gradient-from-output", SECTION, "the wrong cached tensor",
            "grad:bert.encoder.layer.{last}.output.LayerNorm.weight", gamma_from_output),
    Mistake("softmax-gradient-row-sum", SECTION, "half of the softmax's Jacobian", "grad:layer.{last}.scores",
            attention(softmax=softmax_gradient_off)),
    Mistake("probs-detached", SECTION, "values alone learn", "grad:layer.{last}.probs",
            attention(see_probs=lambda probs: scale_gradient(probs, 0.0))),
    Mistake("query-scale-not-in-backward", SECTION, "a factor forgotten on the way back", "grad:layer.{last}.query",
            attention(see_query=query_scale_forgotten)),
    Mistake("attention-residual-detached", SECTION, "microsoft/DeepSpeed#1563", "grad:layer.{previous}.output",
            no_gradient_through("attention")),
    Mistake("feed-forward-residual-detached", SECTION, "microsoft/DeepSpeed#1563", "grad:layer.{last}.attention_norm",
            no_gradient_through("output")),
    Mistake("pooler-input-detached", SECTION, "the sentence loss teaches the head alone", "grad:layer.{last}.output",
            pooler_detached),
    Mistake("tanh-slope-1-minus-y", SECTION, "a square forgotten", "grad:pooled_pre", tanh_slope),
    Mistake("tied-table-without-decoder-path", SECTION, "huggingface/transformers#1663",
            "grad:bert.embeddings.word_embeddings.weight", decoder_path_lost),
    Mistake("tied-table-without-input-path", SECTION, "pytorch/xla#1245",
            "grad:bert.embeddings.word_embeddings.weight", input_path_lost),
    Mistake("repeated-words-assigned", SECTION, "a scatter without addition",
            "grad:bert.embeddings.word_embeddings.weight", assigned("word_embeddings")),
    Mistake("token-types-assigned", SECTION, "a scatter without addition",
            "grad:bert.embeddings.token_type_embeddings.weight", assigned("token_type_embeddings")),
    Mistake("position-gradient-averaged", SECTION, "a mean over the batch",
            "grad:bert.embeddings.position_embeddings.weight", positions_averaged),
    Mistake("bias-gradient-averaged", SECTION, "a mean over the tokens",
            "grad:bert.encoder.layer.{last}.intermediate.dense.bias", bias_averaged),
    Mistake("kernel-gradient-transposed", SECTION, "a square matrix",
            "grad:bert.encoder.layer.{last}.attention.output.dense.weight", kernel_gradient_transposed),
    Mistake("pooler-kernel-frozen", SECTION, "a parameter left out of the graph", "grad:bert.pooler.dense.weight",
            pooler_kernel_frozen),
]  # fmt: skip
