"""transformers' BERT as OpenVINO runs it, seen inside by the names that its converter gives:
`bertref verify python:openvino_bert.py:Bert`.

`Saved` is what most people run: the model as openvino.save_model writes it, which rounds weights to float16 unless told
not to: verify names that. Of a model whose weights float16 holds it is right."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import openvino
import torch
import transformers

LINEAR, NORM = "aten::linear/Add", "aten::layer_norm/Add"
LAYER = {
    "query": f"attention.self.query/{LINEAR}",
    "key": f"attention.self.key/{LINEAR}",
    "value": f"attention.self.value/{LINEAR}",
    "attention_output": f"attention.output.dense/{LINEAR}",
    "attention_sum": "attention.output/aten::add/Add",
    "attention_norm": f"attention.output.LayerNorm/{NORM}",
    "ffn_pre": f"intermediate.dense/{LINEAR}",
    "ffn_act": "intermediate.intermediate_act_fn/aten::gelu/Gelu",
    "ffn_output": f"output.dense/{LINEAR}",
    "ffn_sum": "output/aten::add/Add",
    "output": f"output.LayerNorm/{NORM}",
}
OTHERS = {
    "embeddings.norm": f"bert.embeddings.LayerNorm/{NORM}",
    "pooled_pre": f"bert.pooler.dense/{LINEAR}",
    "mlm.dense": f"cls.predictions.transform.dense/{LINEAR}",
    "mlm.act": "cls.predictions.transform.transform_act_fn/aten::gelu/Gelu",
    "mlm.transform": f"cls.predictions.transform.LayerNorm/{NORM}",
}
OUTPUTS = ("mlm.logits", "nsp.logits")


def nodes(layers):
    """What verify calls a tensor -> the name of OpenVINO's node."""
    inside = {f"layer.{i}.{name}": f"bert.encoder.layer.{i}.{node}"
              for i in range(layers) for name, node in LAYER.items()}  # fmt: skip
    return {name: "__module." + node for name, node in (OTHERS | inside).items()}


def converted(case, given):
    """The case's model in OpenVINO."""
    model = transformers.BertForPreTraining(transformers.BertConfig.from_dict(case["config"])).eval()
    params = {name: torch.from_numpy(array) for name, array in case["params"].items()}
    model.load_state_dict(params, strict=False)  # the decoder is tied to the words
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openvino.convert_model(model, example_input={name: torch.from_numpy(a) for name, a in given.items()})


class Bert:
    precision = "float32"

    def model(self, case, given):
        return converted(case, given)

    def forward(self, case):
        inputs = ("input_ids", "attention_mask", "token_type_ids")
        given = {name: case["batch"][name].astype(np.int64) for name in inputs}
        model = self.model(case, given)
        inside = nodes(case["config"]["num_hidden_layers"])
        model.add_outputs([(node, 0) for node in inside.values()])
        ready = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return dict(zip((*OUTPUTS, *inside), ready(given).values(), strict=True))


class Saved(Bert):
    def model(self, case, given):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bert.xml"
            openvino.save_model(converted(case, given), path)
            return openvino.Core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
