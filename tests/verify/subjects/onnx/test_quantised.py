"""Quantised graphs are right for int8 where each rounding is one to the nearest integer; what isn't is found at its
tensor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from bertref.verify.records import Report
from bertref.verify.report.words import explain
from bertref.verify.subjects.onnx import OnnxSubject
from tests.model_cases import probes_of_depth

from . import exported
from .exported import CASE, changed, from_torch, fused, hugging_face, optimised, statuses, verdict
from .test_places import FIRST

PROBES = {name for name in probes_of_depth(2) if not name.startswith("loss.")}
PRODUCTS = ["MatMul"]


class Batches(CalibrationDataReader):  # type: ignore[misc]
    """The case's own batch, once."""

    def __init__(self) -> None:
        self._left = [{name: getattr(CASE.batch, name).astype(np.int64) for name in exported.INPUTS}]

    def get_next(self) -> Any:
        return self._left.pop() if self._left else None


def dynamic(path: Path, to: Path, *, kind: QuantType = QuantType.QInt8, only: list[str] | None = None,
            per_channel: bool = False) -> Path:  # fmt: skip
    quantize_dynamic(
        str(path), str(to), weight_type=kind, op_types_to_quantize=only, per_channel=per_channel,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )  # fmt: skip
    return to


def static(path: Path, to: Path, only: list[str], kind: QuantType = QuantType.QUInt8) -> Path:
    quantize_static(
        str(path), str(to), Batches(), quant_format=QuantFormat.QDQ, op_types_to_quantize=only,
        activation_type=kind, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return to


WAYS: dict[str, Callable[[Path, Path], Path]] = {
    "dynamic int8": lambda path, to: dynamic(path, to, only=PRODUCTS),
    "dynamic uint8": lambda path, to: dynamic(path, to, kind=QuantType.QUInt8, only=PRODUCTS),
    "dynamic by channel": lambda path, to: dynamic(path, to, only=PRODUCTS, per_channel=True),
    "dynamic with tables": lambda path, to: dynamic(path, to),
    "static": lambda path, to: static(path, to, PRODUCTS),
    "static with tables": lambda path, to: static(path, to, [*PRODUCTS, "Gather"], QuantType.QInt8),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder and its model in float32."""
    found = tmp_path_factory.mktemp("quantised")
    exported.folder(found / "hf")
    from_torch(found / "plain.onnx", hugging_face())
    return found


def assert_right(report: Report) -> None:
    assert (report.verdict, report.precision) == ("right", "int8"), report
    assert {name for name, status in statuses(report).items() if status == "right"} == PROBES
    assert max(finding.own or 0.0 for finding in report.findings) < 4
    assert "right for int8" in explain(report)


@pytest.mark.parametrize("way", WAYS)
def test_a_quantised_graph_is_right_for_int8(folder: Path, tmp_path: Path, way: str) -> None:
    report = verdict(WAYS[way](folder / "plain.onnx", tmp_path / "quantised.onnx"), folder / "hf")
    assert_right(report)
    worst = next(finding for finding in report.findings if finding.name == "mlm.logits")
    assert worst.error is not None
    assert worst.error > 1e-3, "it isn't float32 that is judged"


def test_a_quantised_fused_graph_is_right(folder: Path, tmp_path: Path) -> None:
    path = fused(folder / "plain.onnx", tmp_path / "fused.onnx")
    assert_right(verdict(dynamic(path, tmp_path / "quantised.onnx"), folder / "hf"))


HIDDEN = {f"layer.{i}.{name}" for i in range(2) for name in ("query", "key", "value", "scores", "probs")} | {
    "embeddings.word", "embeddings.position", "embeddings.token_type", "embeddings.sum",
}  # fmt: skip
"""What fused attention and fused embeddings don't show."""


@pytest.fixture(scope="module")
def fused_attention(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """A graph with Attention and EmbedLayerNormalization, quantised: QAttention, QEmbedLayerNormalization."""
    found = tmp_path_factory.mktemp("attention")
    path = fused(from_torch(found / "plain.onnx", hugging_face(attention="eager")), found / "fused.onnx")
    dynamic(path, found / "quantised.onnx")
    return found


def test_fused_attention_in_integers_is_right(folder: Path, fused_attention: Path) -> None:
    path = fused_attention / "quantised.onnx"
    kinds = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert {"QAttention", "QEmbedLayerNormalization"} <= kinds
    report = verdict(path, folder / "hf")
    assert (report.verdict, report.precision) == ("right", "int8"), explain(report)
    assert {name for name, status in statuses(report).items() if status == "right"} == PROBES - HIDDEN
    assert max(finding.own or 0.0 for finding in report.findings) < 4


def by_channel(path: Path, to: Path) -> Path:
    return dynamic(path, to, kind=QuantType.QUInt8, per_channel=True)


def test_fused_attention_by_channel_is_right(folder: Path, fused_attention: Path, tmp_path: Path) -> None:
    report = verdict(by_channel(fused_attention / "fused.onnx", tmp_path / "q.onnx"), folder / "hf")
    assert report.verdict == "right", explain(report)
    assert statuses(report)["layer.1.context"] == "right"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Attention_1_qkv_weight_scale", "layer.1.context"),
        ("bert.embeddings.word_embeddings.weight_scale", "embeddings.norm"),
        ("bert.embeddings.LayerNorm.weight_scale", "embeddings.norm"),
    ],
)
def test_a_scale_of_a_fused_node_wrong_by_a_hundredth_is_found(
    folder: Path, fused_attention: Path, tmp_path: Path, name: str, first: str
) -> None:
    path = fused_attention / "quantised.onnx"
    report = verdict(changed(path, tmp_path / "wrong.onnx", lambda graph: by_a_hundredth(graph, name)), folder / "hf")
    assert (report.verdict, report.first) == ("diverges", first)


def test_a_wrong_bias_of_fused_attention_is_found(
    folder: Path, fused_attention: Path, tmp_path: Path
) -> None:
    def change(graph: Any) -> None:
        node = next(node for node in graph.node if node.op_type == "QAttention")
        bias = next(tensor for tensor in graph.initializer if tensor.name == node.input[2])
        value = onnx.numpy_helper.to_array(bias).copy()
        value[: len(value) // 3] *= 1.01  # the query's
        bias.CopyFrom(onnx.numpy_helper.from_array(value, bias.name))

    report = verdict(changed(fused_attention / "quantised.onnx", tmp_path / "wrong.onnx", change), folder / "hf")
    assert (report.verdict, report.first) == ("diverges", "layer.0.context")


def test_attention_between_quantisers_is_right(folder: Path, fused_attention: Path, tmp_path: Path) -> None:
    """Static: its weights and biases are stored as integers."""
    path = static(fused_attention / "fused.onnx", tmp_path / "static.onnx", [*PRODUCTS, "Attention"])
    report = verdict(path, folder / "hf")
    assert report.verdict == "right", explain(report)
    assert statuses(report)["layer.1.context"] == "right"
    wrong = verdict(changed(path, tmp_path / "wrong.onnx", lambda graph: by_a_hundredth(graph, PACKED)), folder / "hf")
    assert (wrong.verdict, wrong.first) == ("diverges", "layer.0.context")


PACKED = "Attention_0_qkv_weight_scale"


def test_what_a_session_makes_of_integers_is_not_judged(folder: Path, fused_attention: Path, tmp_path: Path) -> None:
    """DynamicQuantizeMatMul doesn't show its integers: nothing is said of what it makes, nor called wrong."""
    path = optimised(fused_attention / "quantised.onnx", tmp_path / "saved.onnx")
    assert "DynamicQuantizeMatMul" in {node.op_type for node in onnx.load(str(path)).graph.node}
    report = verdict(path, folder / "hf")
    assert report.verdict == "could not run", explain(report)
    assert any("DynamicQuantizeMatMul" in note and "can't be judged" in note for note in report.notes)
    assert statuses(report)["embeddings.norm"] == "right"
    assert statuses(report)["layer.0.attention_norm"] in ("right", "unjudged")
    scaled = changed(path, tmp_path / "wrong.onnx",
                     lambda graph: by_a_hundredth(graph, "bert.embeddings.word_embeddings.weight_scale"))  # fmt: skip
    assert verdict(scaled, folder / "hf").first == "embeddings.norm"


def test_without_the_model_the_file_s_weights_are_right(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    for way in ("dynamic int8", "static with tables"):
        assert verdict(WAYS[way](folder / "plain.onnx", tmp_path / "quantised.onnx")).verdict == "right"


def by_a_hundredth(graph: Any, name: str) -> None:
    """Makes a stored scale wrong by 1 %."""
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    value = onnx.numpy_helper.to_array(tensor) * np.float32(1.01)
    tensor.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float32), name))


def scale_of_weight(graph: Any, number: int) -> str:
    """The name of a weight's scale, by the number of its product."""
    kinds = ("MatMulInteger", "MatMul")
    stored = {tensor.name for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in kinds]
    weights = [node.input[1].removesuffix("_quantized").removesuffix("_DequantizeLinear_Output") for node in products]
    return [f"{name}_scale" for name in weights if f"{name}_quantized" in stored][number]


@pytest.mark.parametrize("way", ["dynamic int8", "dynamic by channel", "static"])
def test_a_weight_s_scale_wrong_by_a_hundredth_is_found(folder: Path, tmp_path: Path, way: str) -> None:
    path = WAYS[way](folder / "plain.onnx", tmp_path / "right.onnx")
    wrong = changed(path, tmp_path / "wrong.onnx", lambda graph: by_a_hundredth(graph, scale_of_weight(graph, FFN)))
    report = verdict(wrong, folder / "hf")
    assert report.first == "layer.0.ffn_pre"
    assert report.last_right == "layer.0.attention_norm"


FFN = 4
"""After query, key, value and the attention's output."""


def test_an_activation_s_scale_wrong_on_its_way_back_is_found(folder: Path, tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        back = [node for node in graph.node if node.op_type == "DequantizeLinear" and "scale" in node.input[1]]
        made = {node.output[0]: node for node in graph.node}
        node = next(one for one in back if one.input[0] in made
                    and made[made[one.input[0]].input[0]].op_type == "LayerNormalization")  # fmt: skip
        tensor = next(tensor for tensor in graph.initializer if tensor.name == node.input[1])
        value = onnx.numpy_helper.to_array(tensor) * np.float32(1.01)
        graph.initializer.append(onnx.numpy_helper.from_array(value.astype(np.float32), "wrong"))
        node.input[1] = "wrong"

    path = static(folder / "plain.onnx", tmp_path / "right.onnx", PRODUCTS)
    report = verdict(changed(path, tmp_path / "wrong.onnx", change), folder / "hf")
    assert report.first == "embeddings.norm"


@pytest.mark.parametrize("way", ["dynamic int8", "static"])
@pytest.mark.parametrize("change", FIRST)
def test_mistakes_of_float32_graphs_are_found(
    folder: Path, tmp_path: Path, change: Callable[[Any], None], way: str
) -> None:
    plain = from_torch(tmp_path / "wrong.onnx", hugging_face(change))
    report = verdict(WAYS[way](plain, tmp_path / "quantised.onnx"), folder / "hf")
    assert report.first == FIRST[change]


def test_a_quantised_file_says_its_precision(folder: Path, tmp_path: Path) -> None:
    assert OnnxSubject(dynamic(folder / "plain.onnx", tmp_path / "q.onnx"), model=folder / "hf").precision == "int8"
