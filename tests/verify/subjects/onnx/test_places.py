"""What is inside of a graph is recognised by what it computes, in graphs of both of torch's exporters and in fused
ones; what isn't certain is left out; wrong twins are found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch

from bertref.verify.judgement.judge import compare
from bertref.verify.subjects.onnx import OnnxSubject
from tests.model_cases import probes_of_depth

from . import exported
from .exported import changed, from_torch, fused, hugging_face, optimised, statuses, verdict

PROBES = {name for name in probes_of_depth(2) if not name.startswith("loss.")}
IN_ATTENTION = {f"layer.{i}.{name}" for i in range(2) for name in ("query", "key", "value", "scores", "probs")}
LOOKUPS = {"embeddings.word", "embeddings.position", "embeddings.token_type"}


class Files(NamedTuple):
    """A Hugging Face folder, and files of its model."""

    model: Path
    plain: Path
    eager: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("onnx")
    model = exported.folder(folder / "hf")
    plain = from_torch(folder / "plain.onnx", hugging_face())
    eager = from_torch(folder / "eager.onnx", hugging_face(attention="eager"))
    return Files(model, plain, eager)


def given(path: Path, model: Path) -> set[str]:
    report = verdict(path, model)
    assert report.verdict == "right", report
    return {name for name, status in statuses(report).items() if status == "right"}


def test_all_of_a_plain_graph(files: Files) -> None:
    assert given(files.plain, files.model) == PROBES
    assert given(files.eager, files.model) == PROBES


def test_names_of_nodes_mean_nothing(files: Files, tmp_path: Path) -> None:
    def shuffle(graph: Any) -> None:
        names = [node.name for node in graph.node]
        for node, name in zip(graph.node, names[7:] + names[:7], strict=True):
            node.name = name

    assert given(changed(files.plain, tmp_path / "shuffled.onnx", shuffle), files.model) == PROBES


def test_fused_graphs(files: Files, tmp_path: Path) -> None:
    path = fused(files.plain, tmp_path / "fused.onnx")
    ops = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert {"SkipLayerNormalization", "BiasGelu"} <= ops
    assert given(path, files.model) == PROBES
    path = fused(files.eager, tmp_path / "attention.onnx")
    ops = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert {"Attention", "EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"} <= ops
    assert given(path, files.model) == PROBES - IN_ATTENTION - LOOKUPS


def test_the_session_s_optimised_graph(files: Files, tmp_path: Path) -> None:
    path = optimised(files.plain, tmp_path / "optimised.onnx")
    assert any(node.domain == "com.microsoft" for node in onnx.load(str(path)).graph.node)
    assert given(path, files.model) >= PROBES - {"pooled_pre"}


def test_what_is_added_in_a_fused_node_is_looked_at_by_an_output_of_its_own(files: Files, tmp_path: Path) -> None:
    """The sum before a fused norm: with it the norm's own error is told from that of its inputs."""
    subject = OnnxSubject(fused(files.plain, tmp_path / "fused.onnx"), model=files.model)
    case = exported.case_of(subject)
    answers = subject.answer(case, {"layer.0.attention_sum"})
    assert set(answers.values) == {"layer.0.attention_sum"}
    assert compare(case, answers, "float32").verdict == "right"


def epsilon(model: Any) -> None:
    model.bert.encoder.layer[1].attention.output.LayerNorm.eps = 1e-3


def gelu(model: Any) -> None:
    model.bert.encoder.layer[1].intermediate.intermediate_act_fn = torch.nn.GELU(approximate="tanh")


def transposed(model: Any) -> None:
    weight = model.bert.encoder.layer[1].attention.output.dense.weight
    with torch.no_grad():
        weight.copy_(weight.T.clone())


FIRST = {epsilon: "layer.1.attention_norm", gelu: "layer.1.ffn_act", transposed: "layer.1.attention_output"}
LAST_RIGHT = {epsilon: "layer.1.attention_sum", gelu: "layer.1.ffn_pre", transposed: "layer.1.context"}
"""A mistake -> the first wrong tensor, and the last one that is right."""
CAUSE = {epsilon: "norm.epsilon", gelu: "activation.tanh_gelu", transposed: "dense.transposed"}


@pytest.mark.parametrize("change", FIRST)
def test_wrong_twins_are_found(files: Files, tmp_path: Path, change: Callable[[Any], None]) -> None:
    path = from_torch(tmp_path / "wrong.onnx", hugging_face(change, "eager"))
    for one in (path, fused(path, tmp_path / "fused.onnx")):
        report = verdict(one, files.model)
        assert (report.first, report.last_right) == (FIRST[change], LAST_RIGHT[change])
        assert report.diagnosis is not None
        assert ([cause.id for cause in report.diagnosis.causes], report.diagnosis.left) == ([CAUSE[change]], ())


def without_norms(model: Any) -> None:
    model.bert.embeddings.LayerNorm = torch.nn.Identity()
    model.cls.predictions.transform.LayerNorm = torch.nn.Identity()


def test_a_norm_that_the_graph_lacks_is_what_is_read_in_its_place(files: Files, tmp_path: Path) -> None:
    path = from_torch(tmp_path / "wrong.onnx", hugging_face(without_norms))
    found = statuses(verdict(path, files.model))
    wrong = [name for name, status in found.items() if status in ("added", "wrong")]
    assert wrong == ["embeddings.norm", "mlm.transform"]


def test_a_weight_that_is_not_the_model_s_is_named(files: Files, tmp_path: Path) -> None:
    path = from_torch(tmp_path / "wrong.onnx", hugging_face(transposed))
    report = verdict(path, files.model)
    name = "bert.encoder.layer.1.attention.output.dense.weight"
    assert f"the file's {name} is not the model's; judged with the model's" in report.notes


def test_a_factor_drawn_out_of_an_activation_is_not_taken_for_a_mistake(files: Files, tmp_path: Path) -> None:
    """onnxruntime moves the 0.5 of a GELU into the product behind it: what is multiplied isn't the activation."""

    def draw_out(graph: Any) -> None:
        products = [node for node in graph.node if node.op_type == "MatMul"]
        act = {node.output[0] for node in graph.node if node.op_type == "Mul" and "intermediate_act_fn" in node.name}
        product = next(node for node in products if node.input[0] in act)
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(2, np.float32), "two"))
        graph.node.insert(
            list(graph.node).index(product), onnx.helper.make_node("Mul", [product.input[0], "two"], ["doubled"])
        )
        product.op_type, product.domain, product.input[0] = "FusedMatMul", "com.microsoft", "doubled"
        product.attribute.append(onnx.helper.make_attribute("alpha", 0.5))

    path = changed(files.plain, tmp_path / "drawn.onnx", draw_out)
    model = onnx.load(str(path))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(path))
    assert given(path, files.model) == PROBES - {"layer.0.ffn_act"}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of torch's newer exporter: a right one, and one with a wrong epsilon."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: torch's newer exporter isn't tried")
    folder = tmp_path_factory.mktemp("newer")
    from_torch(folder / "right.onnx", hugging_face(), dynamo=True)
    from_torch(folder / "wrong.onnx", hugging_face(epsilon), dynamo=True)
    return folder


@pytest.mark.slow
def test_torch_s_newer_exporter(newer: Path, files: Files) -> None:
    assert given(newer / "right.onnx", files.model) == PROBES
    report = verdict(newer / "wrong.onnx", files.model)
    assert (report.first, report.last_right) == ("layer.1.attention_norm", "layer.1.attention_sum")
