"""keras-hub's BertMaskedLM, run by torch: `bertref verify python:keras_hub_bert.py:Bert --dialect google`.

Its encoder is Google's; its head has GELU's exact form and an epsilon of 1e-5, and verify names both."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported

import keras_hub
import torch
from keras import ops


def model_of(config):
    return keras_hub.models.BertMaskedLM(keras_hub.models.BertBackbone(
        config["vocab_size"], config["num_hidden_layers"], config["num_attention_heads"], config["hidden_size"],
        config["intermediate_size"], 0.0, config["max_position_embeddings"], config["type_vocab_size"],
    ))  # fmt: skip


def parts(model):
    """The modules of Hugging Face's model, those that a layer of Keras's holds together, and that layer."""
    backbone, head = model.backbone, model.masked_lm_head
    yield ("bert.embeddings.word_embeddings",), backbone.token_embedding
    yield ("bert.embeddings.position_embeddings",), backbone.position_embedding
    yield ("bert.embeddings.token_type_embeddings",), backbone.segment_embedding
    yield ("bert.embeddings.LayerNorm",), backbone.embeddings_layer_norm
    for i, block in enumerate(backbone.transformer_layers):
        at = f"bert.encoder.layer.{i}."
        projections = ("self.query", "self.key", "self.value", "output.dense")
        yield tuple(f"{at}attention.{name}" for name in projections), block._self_attention_layer
        yield (at + "attention.output.LayerNorm",), block._self_attention_layer_norm
        yield (at + "intermediate.dense",), block._feedforward_intermediate_dense
        yield (at + "output.dense",), block._feedforward_output_dense
        yield (at + "output.LayerNorm",), block._feedforward_layer_norm
    yield ("bert.pooler.dense",), backbone.pooled_dense
    yield ("cls.predictions.transform.dense",), head._intermediate_dense
    yield ("cls.predictions.transform.LayerNorm",), head._intermediate_layer_norm


def load(model, params):
    for modules, layer in parts(model):
        each = len(layer.weights) // len(modules)
        names = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")[:each]]
        for name, variable in zip(names, layer.weights, strict=True):
            value = params[name].T if params[name].ndim == 2 and "embeddings" not in name else params[name]
            variable.assign(value.reshape(variable.shape))
    model.masked_lm_head._bias.assign(params["cls.predictions.bias"])


class Bert:
    precision = "float32"

    def forward(self, case):
        batch, model = case["batch"], model_of(case["config"])
        load(model, case["params"])
        backbone, head, seen = model.backbone, model.masked_lm_head, {}
        with torch.no_grad():
            words = backbone.token_embedding(batch["input_ids"])
            kinds = backbone.segment_embedding(batch["token_type_ids"])
            x = backbone.embeddings_add((words, backbone.position_embedding(words), kinds))
            x = seen["embeddings.norm"] = backbone.embeddings_layer_norm(x)
            for i, block in enumerate(backbone.transformer_layers):
                x = seen[f"layer.{i}.output"] = block(x, padding_mask=batch["attention_mask"])
            seen["pooled"] = backbone.pooled_dense(x[:, 0])
            rows = ops.take_along_axis(x, batch["masked_lm_positions"][:, :, None], axis=1)
            seen["mlm.act"] = head._intermediate_dense(rows)
            seen["mlm.transform"] = head._intermediate_layer_norm(seen["mlm.act"])
            seen["mlm.logits"] = head(x, batch["masked_lm_positions"])
        return seen
