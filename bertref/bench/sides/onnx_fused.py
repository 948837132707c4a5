"""A BERT in the operators that ONNX Runtime fuses BERTs into: EmbedLayerNormalization, Attention,
SkipLayerNormalization and BiasGelu.

This is the graph that its tool `onnxruntime.transformers.optimizer` makes of an export by torch; written directly it
needs no exporter, and no pattern can be missed. Attention is one operator with query, key and value in one product.

Source: ONNX Runtime's documentation of its contributed operators.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import BertConfig, Numerics
from ...heads.classifier import BIAS, WEIGHT
from ...heads.masked_lm import DECODER_BIAS, TRANSFORM, decoder_name
from ...variants import BERT
from .libraries import library

FUSED_GELU = {"gelu_erf": "BiasGelu", "gelu_tanh": "FastGelu"}
OWN = "com.microsoft"
"""The domain of ONNX Runtime's operators."""


def can_be_fused(config: BertConfig, numerics: Numerics) -> bool:
    """Whether there are fused operators for the network, of BERT's embeddings alone, and for its activation."""
    return config.variant is BERT and numerics.activation(config.hidden_act) in FUSED_GELU


def write_fused(
    path: Path, params: dict[str, npt.NDArray[Any]], config: BertConfig, numerics: Numerics, *, heads: Sequence[str]
) -> None:
    """Writes the encoder with its pooler, the masked language model or the classifier as an ONNX file."""
    onnx = library("onnx")
    graph = _Graph(onnx, params, config, numerics)
    x = graph.encoder()
    if "masked_lm" in heads:
        answers = {"prediction_logits": graph.masked_lm(x)}
    elif "sequence_classification" in heads:
        answers = {"logits": graph.classifier(graph.pooler(x))}
    else:
        answers = {"last_hidden_state": x, "pooler_output": graph.pooler(x)}
    onnx.save(graph.model(answers), path)


class _Graph:
    """Nodes and weights, as they are added."""

    def __init__(
        self, onnx: Any, params: dict[str, npt.NDArray[Any]], config: BertConfig, numerics: Numerics
    ) -> None:
        self.onnx, self.params, self.config = onnx, params, config
        self.epsilon = numerics.layer_norm_eps
        self.gelu = FUSED_GELU[numerics.activation(config.hidden_act)]
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, inputs: list[str], *, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its first output."""
        names = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0]

    def weight(self, name: str, array: npt.NDArray[Any] | None = None) -> str:
        """A parameter, or an array made of parameters, as the graph's constant."""
        found = self.params[name] if array is None else array
        self.weights.append(self.onnx.numpy_helper.from_array(np.asarray(found, order="C"), name))
        return name

    def product(self, x: str, name: str) -> str:
        """x Wᵀ, the bias left to the operator that follows."""
        return self.add("MatMul", [x, self.weight(f"{name}.weight_transposed", self.params[f"{name}.weight"].T)])

    def norm_weights(self, name: str) -> list[str]:
        return [self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]

    def encoder(self) -> str:
        """ids, mask and types -> the last layer's output (B, S, H)."""
        ids, self.mask, types = (
            self.add("Cast", [name], to=self.onnx.TensorProto.INT32)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        tables = [f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
        x = self.add(
            "EmbedLayerNormalization",
            [ids, types, *map(self.weight, tables), *self.norm_weights("bert.embeddings.LayerNorm")],
            domain=OWN, outputs=2, epsilon=self.epsilon,
        )  # fmt: skip
        for number in range(self.config.num_hidden_layers):
            x = self.layer(x, f"bert.encoder.layer.{number}.")
        return x

    def layer(self, x: str, p: str) -> str:
        parts = [f"{p}attention.self.{name}" for name in ("query", "key", "value")]
        packed = np.concatenate([self.params[f"{part}.weight"] for part in parts]).T
        bias = np.concatenate([self.params[f"{part}.bias"] for part in parts])
        context = self.add(
            "Attention", [x, self.weight(f"{p}qkv.weight", packed), self.weight(f"{p}qkv.bias", bias), self.mask],
            domain=OWN, num_heads=self.config.num_attention_heads,
        )  # fmt: skip
        middle = self.norm(self.product(context, f"{p}attention.output.dense"), x, f"{p}attention.output")
        expanded = self.product(middle, f"{p}intermediate.dense")
        act = self.add(self.gelu, [expanded, self.weight(f"{p}intermediate.dense.bias")], domain=OWN)
        return self.norm(self.product(act, f"{p}output.dense"), middle, f"{p}output")

    def norm(self, x: str, residual: str, p: str) -> str:
        """Bias, residual and layer norm."""
        weights = [*self.norm_weights(f"{p}.LayerNorm"), self.weight(f"{p}.dense.bias")]
        return self.add("SkipLayerNormalization", [x, residual, *weights], domain=OWN, epsilon=self.epsilon)

    def pooler(self, x: str) -> str:
        first = self.add("Gather", [x, self.weight("first", np.array(0))], axis=1)
        weights = [self.weight("bert.pooler.dense.weight"), self.weight("bert.pooler.dense.bias")]
        return self.add("Tanh", [self.add("Gemm", [first, *weights], transB=1)])

    def classifier(self, pooled: str) -> str:
        """The logits of every sequence (B, K)."""
        return self.add("Gemm", [pooled, self.weight(WEIGHT), self.weight(BIAS)], transB=1)

    def masked_lm(self, x: str) -> str:
        """The logits of every position."""
        product = self.product(x, f"{TRANSFORM}dense")
        act = self.add(self.gelu, [product, self.weight(f"{TRANSFORM}dense.bias")], domain=OWN)
        norm = self.norm_weights(f"{TRANSFORM}LayerNorm")
        y = self.add("LayerNormalization", [act, *norm], epsilon=self.epsilon)
        decoder = self.params[decoder_name(self.params)].T
        logits = self.add("MatMul", [y, self.weight("decoder_transposed", decoder)])
        return self.add("Add", [logits, self.weight(DECODER_BIAS)])

    def model(self, answers: dict[str, str]) -> Any:
        helper, types = self.onnx.helper, self.onnx.TensorProto
        for name, value in answers.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        given = [
            helper.make_tensor_value_info(name, types.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        found = [helper.make_tensor_value_info(name, types.FLOAT, None) for name in answers]
        graph = helper.make_graph(self.nodes, "bert", given, found, self.weights)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(OWN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)
