"""Finds BERT's values and weights in an ONNX graph.

A graph made by bertref says both by name. One made by `torch.onnx.export` of a Hugging Face model keeps the module
that every node came from in the node's name (`/bert/encoder/layer.0/attention/self/query/Add`): what leaves and enters
a module is then known, as module hooks know it in torch. Names of values mean nothing in it, and the weights of dense
layers have lost theirs; they are recognised by the product that uses them. Anything else shows its outputs only.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import BertConfig
from ...topology import layer_input, places, rows
from ..records import Arrays

EMBEDDINGS = "bert.embeddings."
WORDS = EMBEDDINGS + "word_embeddings.weight"
HIDDEN_STATE = re.compile(r"hidden_states?[._]?(\d+)")


class GraphReader:
    """`model` is an `onnx.ModelProto` with its data; `config` is the encoder's."""

    def __init__(self, model: Any, config: BertConfig) -> None:
        self._layers, self._rows = config.num_hidden_layers, rows(config)
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
        known = {row.name for row in self._rows}
        found: dict[str, str] = {}
        for name in self._outputs:
            probe = name if name in known else self._probe_of_output(name)
            if probe is not None:
                found.setdefault(probe, name)
        return found

    def _probe_of_output(self, name: str) -> str | None:
        by_name = {
            "last_hidden_state": layer_input(self._layers),
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
                return layer_input(number + 1)
        return None

    def inside(self) -> dict[str, str]:
        """Probe -> the name of a value in the graph; empty where nodes don't tell their modules."""
        found: dict[str, str] = {}
        for module, side, probe in places(self._rows):
            nodes = self._nodes_of(module)
            if nodes and side != "inside":
                value = nodes[-1].output[0] if side == "out" else self._data_input(nodes[0])
                found.setdefault(probe, value)
        for layer in range(self._layers):
            found |= self._attention(layer)
        return found

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
