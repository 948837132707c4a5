"""Layers that share their weights, as ALBERT's: each is recognised by its turn, in float32 and in integers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bertref.verify.records import Report
from bertref.verify.report.words import explain
from bertref.verify.subjects.onnx import OnnxSubject

from ....variant_cases import made
from .exported import case_of, changed, dynamic, statuses, verdict
from .test_quantised import by_a_hundredth
from .test_variants_of_torch import Wrapped

Change = Callable[[Any], None]
LAYERS = 4
STEPS = {"query", "key", "value", "scores", "probs", "context", "attention_output", "attention_sum", "attention_norm",
         "ffn_pre", "ffn_act", "ffn_output", "ffn_sum", "output"}  # fmt: skip
INSIDE = {f"layer.{i}.{step}" for i in range(LAYERS) for step in STEPS}


def albert(folder: Path, change: Change = lambda model: None) -> Path:
    """What torch exports of an ALBERT of four layers and one group, its folder `model` beside it."""
    model = made("albert", "ForSequenceClassification", num_labels=3).float()
    model.save_pretrained(folder / "model")
    change(model)
    names, given = ("input_ids", "attention_mask"), (torch.ones((2, 9), dtype=torch.long),) * 2
    axes = {name: {0: "batch", 1: "sequence"} for name in names}
    torch.onnx.export(
        Wrapped(model), given, str(folder / "model.onnx"), dynamo=False, input_names=[*names],
        output_names=["logits"], dynamic_axes=axes,
    )  # fmt: skip
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a file, its folder and the same in integers. Of a weight that layers share, onnxruntime rounds the first use
    alone."""
    found = tmp_path_factory.mktemp("shared")
    dynamic(albert(found), found / "int8.onnx")
    return found


def right(report: Report) -> set[str]:
    return {name for name, status in statuses(report).items() if status == "right"}


@pytest.mark.parametrize(("name", "kind"), [("model.onnx", "float32"), ("int8.onnx", "int8")])
def test_every_layer_is_judged(folder: Path, name: str, kind: str) -> None:
    report = verdict(folder / name, folder / "model")
    assert (report.verdict, report.precision) == ("right", kind), explain(report)
    assert right(report) >= INSIDE | {"embeddings.projection", "pooled_pre", "classifier.logits"}
    assert max(finding.own or 0.0 for finding in report.findings) < 4


def test_without_the_model_weights_that_are_not_rounded_are_right(folder: Path, tmp_path: Path) -> None:
    for place, to in ((folder / "int8.onnx", "int8.onnx"), (folder / "model" / "config.json", "config.json")):
        (tmp_path / to).write_bytes(place.read_bytes())
    report = verdict(tmp_path / "int8.onnx")
    assert report.verdict == "right", explain(report)
    assert right(report) >= INSIDE


def test_a_mistake_in_one_layer_is_found_there(tmp_path: Path) -> None:
    class Third(torch.nn.Module):
        """The activation, but for its third call."""

        def __init__(self, kept: Any) -> None:
            super().__init__()
            self.kept, self.calls = kept, 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return torch.relu(x) if self.calls == 3 else self.kept(x)

    def change(model: Any) -> None:
        layer = model.albert.encoder.albert_layer_groups[0].albert_layers[0]
        layer.activation = Third(layer.activation)

    report = verdict(albert(tmp_path, change), tmp_path / "model")
    assert (report.verdict, report.first) == ("diverges", "layer.2.ffn_act"), explain(report)
    assert right(report) >= {name for name in INSIDE if name.startswith(("layer.0", "layer.1"))}


def test_a_scale_of_the_first_layer_wrong_by_a_hundredth_is_found(folder: Path, tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        products = [node for node in graph.node if node.op_type == "MatMulInteger"]
        by_a_hundredth(graph, products[1].input[1].removesuffix("_quantized") + "_scale")

    report = verdict(changed(folder / "int8.onnx", tmp_path / "wrong.onnx", change), folder / "model")
    assert report.verdict == "diverges"
    assert report.first in ("layer.0.query", "layer.0.key", "layer.0.value")


def test_with_another_number_of_layers_none_is_taken_for_another(tmp_path: Path) -> None:
    """What is made of integers from before them can't be judged then."""

    def change(model: Any) -> None:
        model.config.num_hidden_layers = LAYERS + 1

    subject = OnnxSubject(albert(tmp_path, change), model=tmp_path / "model")
    values = subject.answer(case_of(subject)).values
    assert "classifier.logits" in values
    assert not INSIDE & values.keys()
    subject = OnnxSubject(dynamic(tmp_path / "model.onnx", tmp_path / "int8.onnx"), model=tmp_path / "model")
    answers = subject.answer(case_of(subject))
    assert answers.unjudged == {"pooled_pre": "made of rounded values by LayerNormalization, which isn't replayed"}
    assert not INSIDE & answers.values.keys()
    assert any(note.startswith("1 tensor can't be judged: made of rounded values") for note in answers.notes)
    assert not any("session" in note for note in answers.notes)
