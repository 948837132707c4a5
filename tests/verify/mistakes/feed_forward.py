"""Mistakes in the residual connections and in the feed-forward network."""

from typing import Any

import torch
import torch.nn.functional as F

from .mistake import Mistake, Model, layers, set_activations

SECTION = "residual and feed-forward"


def norm_first(model: Model) -> None:
    """The norms before the sublayers, as in GPT-2; the same parameters."""

    for layer in layers(model):

        def forward(x: Any, mask: Any = None, *_: Any, layer: Any = layer, **rest: Any) -> Any:
            attention, output = layer.attention, layer.output
            context, _probs = attention.self(attention.output.LayerNorm(x), mask)
            x = x + attention.output.dense(context)
            return x + output.dense(layer.intermediate(output.LayerNorm(x)))

        layer.forward = forward


def without_attention_residual(model: Model) -> None:
    for layer in layers(model):
        module = layer.attention.output
        module.forward = lambda x, residual, module=module: module.LayerNorm(module.dense(x))


def residual_of_layer_input(model: Model) -> None:
    """The second residual takes the layer's input, where the attention's output belongs."""
    for layer in layers(model):

        def forward(x: Any, mask: Any = None, *_: Any, layer: Any = layer, **rest: Any) -> Any:
            attended, _probs = layer.attention(x, mask)
            return layer.output(layer.intermediate(attended), x)

        layer.forward = forward


def residual_after_norm(model: Model) -> None:
    """norm(dense(x)) + residual: the norm inside the branch."""
    for layer in layers(model):
        module = layer.attention.output
        module.forward = lambda x, residual, module=module: module.LayerNorm(module.dense(x)) + residual


def last_norm_skipped(model: Model) -> None:
    module = layers(model)[-1].output
    module.forward = lambda x, residual: module.dense(x) + residual


def last_feed_forward_skipped(model: Model) -> None:
    module = layers(model)[-1].output
    module.forward = lambda x, residual: module.LayerNorm(0 * module.dense(x) + residual)


def tanh_gelu(model: Model) -> None:
    set_activations(model, lambda x: F.gelu(x, approximate="tanh"))


def quick_gelu(model: Model) -> None:
    set_activations(model, lambda x: x * torch.sigmoid(1.702 * x))


def table_gelu(model: Model) -> None:
    """Through a table of half-precision numbers, as ggml does it."""

    def look_up(x: torch.Tensor) -> torch.Tensor:
        y = F.gelu(x)
        entry = F.gelu(x.detach().half().float(), approximate="tanh").half().to(x.dtype)
        return y + (entry - y.detach())

    set_activations(model, look_up)


def relu(model: Model) -> None:
    set_activations(model, F.relu)


def expansion_bias_missing(model: Model) -> None:
    for layer in layers(model):
        module = layer.intermediate.dense
        module.forward = lambda x, module=module: F.linear(x, module.weight, 0 * module.bias)


def dropout_left_on(model: Model) -> None:
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1


MISTAKES = [
    Mistake("norm-first", SECTION, "codertimo/BERT-pytorch, SublayerConnection", "layer.0.query", norm_first),
    Mistake("attention-residual-missing", SECTION, "a sublayer without its shortcut", "layer.0.attention_sum",
            without_attention_residual),
    Mistake("second-residual-from-layer-input", SECTION, "a shortcut from the wrong place", "layer.0.ffn_sum",
            residual_of_layer_input),
    Mistake("norm-inside-the-branch", SECTION, "harvardnlp/annotated-transformer#92", "layer.0.attention_sum",
            residual_after_norm),
    Mistake("last-norm-skipped", SECTION, "lucidrains/x-transformers#37", "layer.{last}.output", last_norm_skipped),
    Mistake("last-feed-forward-dropped", SECTION, "one sublayer short", "layer.{last}.ffn_sum",
            last_feed_forward_skipped),
    Mistake("gelu-tanh-for-erf", SECTION, "CyberZHG/keras-bert#129", "layer.0.ffn_act", tanh_gelu,
            dtypes=("float32", "bfloat16")),
    Mistake("gelu-sigmoid", SECTION, "ROCm/AMDMIGraphX#532", "layer.0.ffn_act", quick_gelu),
    Mistake("gelu-from-float16-table", SECTION, "ggml, GGML_GELU_FP16", "layer.0.ffn_act", table_gelu),
    Mistake("relu-for-gelu", SECTION, "the original Transformer's activation", "layer.0.ffn_act", relu),
    Mistake("expansion-bias-missing", SECTION, "lucidrains/x-transformers#37", "layer.0.ffn_pre",
            expansion_bias_missing),
    Mistake("dropout-left-on", SECTION, "huggingface/transformers#695", "layer.0.query", dropout_left_on),
]  # fmt: skip
