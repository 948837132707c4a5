"""Finds BERT's values and weights in an ONNX graph.

A graph made by bertref says both by name. One made by `torch.onnx.export` of a Hugging Face model keeps the module
that every node came from in the node's name (`/bert/encoder/layer.0/attention/self/query/Add`): what leaves and enters
a module is then known, as module hooks know it in torch. Names of values mean nothing in it, and the weights of dense
layers have lost theirs; they are recognised by the product that uses them. Anything else shows its outputs only.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...probes import probe_names
from ..records import Arrays

EMBEDDINGS = "bert.embeddings."
WORDS = EMBEDDINGS + "word_embeddings.weight"
INSIDE_LAYER = (
    ("attention.self.query", "out", "query"),
    ("attention.self.key", "out", "key"),
    ("attention.self.value", "out", "value"),
    ("attention.output.dense", "in", "context"),
    ("attention.output.dense", "out", "attention_output"),
    ("attention.output.LayerNorm", "in", "attention_sum"),
    ("attention.output.LayerNorm", "out", "attention_norm"),
    ("intermediate.dense", "out", "ffn_pre"),
    ("output.dense", "in", "ffn_act"),
    ("output.dense", "out", "ffn_output"),
    ("output.LayerNorm", "in", "ffn_sum"),
    ("output.LayerNorm", "out", "output"),
)
OUTSIDE = (
    ("bert.embeddings.word_embeddings", "out", "embeddings.word"),
    ("bert.embeddings.position_embeddings", "out", "embeddings.position"),
    ("bert.embeddings.token_type_embeddings", "out", "embeddings.token_type"),
    ("bert.embeddings.LayerNorm", "in", "embeddings.sum"),
    ("bert.embeddings.LayerNorm", "out", "embeddings.norm"),
    ("bert.pooler.dense", "out", "pooled_pre"),
    ("bert.pooler", "out", "pooled"),
    ("cls.predictions.transform.dense", "out", "mlm.dense"),
    ("cls.predictions.transform.LayerNorm", "in", "mlm.act"),
    ("cls.predictions.transform.LayerNorm", "out", "mlm.transform"),
    ("cls.predictions", "out", "mlm.logits"),
    ("cls.seq_relationship", "out", "nsp.logits"),
)
"""(module, what enters or leaves it, probe)."""

HIDDEN_STATE = re.compile(r"hidden_states?[._]?(\d+)")


class GraphReader:
    """`model` is an `onnx.ModelProto` with its data; `layers` is the encoder's depth."""

    def __init__(self, model: Any, layers: int) -> None:
        self._layers = layers
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes = [node for node in model.graph.node if node.op_type not in ("Constant", "Identity")]
        self._maker = {name: node for node in model.graph.node for name in node.output}
        self._outputs = [value.name for value in model.graph.output]
        self._ranks = {v.name: _shape(v) for v in (*model.graph.output, *model.graph.value_info)}
        self.prefix: str = self._find_prefix()

    def _find_prefix(self) -> str:
        """What stands before "bert." in this file's names: "" or "model.", or "-" where "bert." itself is missing."""
        for name in map(str, self.initializers):
            if name.endswith("embeddings.word_embeddings.weight"):
                head = name.removesuffix("embeddings.word_embeddings.weight")
                return head.removesuffix("bert.") if head.endswith("bert.") else head + "-"
        return ""

    def _own(self, name: str) -> str:
        """A canonical name as this file has it."""
        if self.prefix.endswith("-"):
            return self.prefix[:-1] + name.removeprefix("bert.")
        return self.prefix + name

    # -- values ------------------------------------------------------------------------------------------------------

    def outputs(self) -> dict[str, str]:
        """Probe -> the output of the file that it is."""
        known = set(probe_names(self._layers))
        found: dict[str, str] = {}
        for name in self._outputs:
            probe = name if name in known else self._probe_of_output(name)
            if probe is not None:
                found.setdefault(probe, name)
        return found

    def _probe_of_output(self, name: str) -> str | None:
        last = f"layer.{self._layers - 1}.output" if self._layers else "embeddings.norm"
        by_name = {
            "last_hidden_state": last,
            "pooler_output": "pooled",
            "prediction_logits": "mlm.logits",
            "seq_relationship_logits": "nsp.logits",
        }
        if name in by_name:
            return by_name[name]
        if name == "logits" and len(self._ranks.get(name, ())) == 3:
            return "mlm.logits"
        if match := HIDDEN_STATE.fullmatch(name):
            number = int(match[1]) - 1  # the first is what the embeddings make
            if number < self._layers:
                return f"layer.{number}.output" if number >= 0 else "embeddings.norm"
        return None

    def inside(self) -> dict[str, str]:
        """Probe -> the name of a value in the graph; empty where nodes don't tell their modules."""
        found: dict[str, str] = {}
        for module, side, probe in self._places():
            nodes = self._nodes_of(module)
            if nodes:
                value = nodes[-1].output[0] if side == "out" else self._data_input(nodes[0])
                found.setdefault(probe, value)
        for layer in range(self._layers):
            found |= self._attention(layer)
        return found

    def _places(self) -> Iterator[tuple[str, str, str]]:
        yield from OUTSIDE
        for layer in range(self._layers):
            for module, side, probe in INSIDE_LAYER:
                yield f"bert.encoder.layer.{layer}.{module}", side, f"layer.{layer}.{probe}"

    def _scope(self, module: str) -> str:
        """A module's place in node names: bert.encoder.layer.0.output -> /bert/encoder/layer.0/output/."""
        return "/" + re.sub(r"layer/(\d+)", r"layer.\1", self._own(module).replace(".", "/")) + "/"

    def _nodes_of(self, module: str) -> list[Any]:
        """The nodes of a module and of what lies inside it, in the order of the computation."""
        scope = self._scope(module)
        return [node for node in self._nodes if node.name.startswith(scope)]

    def _data_input(self, node: Any) -> str:
        """The input of a node that is neither a weight nor a constant."""
        for name in node.input:
            if name not in self.initializers and getattr(self._maker.get(name), "op_type", "") != "Constant":
                return str(name)
        return str(node.input[0])

    def _attention(self, layer: int) -> dict[str, str]:
        """Softmax makes the probabilities; what the mask is added to, before it, are the scores."""
        scope = self._scope(f"bert.encoder.layer.{layer}.attention.self")
        for node in self._nodes:
            if node.op_type == "Softmax" and node.name.startswith(scope):
                found = {f"layer.{layer}.probs": str(node.output[0])}
                masked = self._maker.get(node.input[0])
                candidates = [node.input[0], *(masked.input if masked is not None else ())]
                for name in candidates:
                    maker = self._maker.get(name)
                    if maker is not None and maker.op_type in ("Mul", "Div", "MatMul") and maker.name.startswith(scope):
                        found[f"layer.{layer}.scores"] = str(name)
                        break
                return found
        return {}

    # -- weights -----------------------------------------------------------------------------------------------------

    def parameters(self, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """The weights of these names and shapes that the file holds, as stored; those that can't be found are left
        out."""
        found: Arrays = {}
        for name, shape in shapes.items():
            array = self._parameter(name)
            if array is not None and array.shape == shape:
                found[name] = array
        return found

    def _parameter(self, name: str) -> npt.NDArray[Any] | None:
        for own in (self._own(name), name, self._own(name.replace("predictions.bias", "predictions.decoder.bias"))):
            if own in self.initializers:
                return self._data(own)
        module, _, kind = name.rpartition(".")
        if kind != "weight":
            return None
        for node in self._nodes_of(module):
            if node.op_type in ("MatMul", "Gemm") and node.input[1] in self.initializers:
                array = self._data(node.input[1])
                upright = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
                return array if upright else array.T
        return None

    def decoder(self) -> npt.NDArray[Any] | None:
        """The decoder's own table, (V, H), where the file stores one beside the word embeddings."""
        for node in self._nodes_of("cls.predictions.decoder"):
            if node.op_type in ("MatMul", "Gemm") and node.input[1] in self.initializers:
                return self._parameter("cls.predictions.decoder.weight")
        return None

    def _data(self, name: str) -> npt.NDArray[Any]:
        import onnx

        array = onnx.numpy_helper.to_array(self.initializers[name])
        return np.asarray(array.astype(np.float32) if array.dtype.name == "bfloat16" else array)


def _shape(value: Any) -> tuple[Any, ...]:
    return tuple(dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim)
