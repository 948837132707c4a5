"""Quantised graphs are right for int8 where each rounding is one to the nearest integer; what isn't is found at its
tensor."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnxruntime.quantization import QuantFormat, QuantType

from bertref.verify.records import Report
from bertref.verify.report.words import explain
from bertref.verify.subjects.onnx import OnnxSubject
from bertref.verify.subjects.onnx.quantised import dynamically
from tests.model_cases import probes_of_depth

from . import exported
from .exported import changed, dynamic, from_torch, fused, hugging_face, optimised, static, statuses, verdict
from .test_places import FIRST

PROBES = {name for name in probes_of_depth(2) if not name.startswith("loss.")}
PRODUCTS = ["MatMul"]


def finite(path: Path, to: Path) -> Path:
    """The file with a mask of -30, for infinities can't be quantised."""

    def change(graph: Any) -> None:
        for tensor in (one.t for node in graph.node for one in node.attribute if one.name == "value"):
            value = onnx.numpy_helper.to_array(tensor)
            if value.dtype.kind == "f" and np.isneginf(value).all():
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(value, -30), tensor.name))

    return changed(path, to.with_suffix(".finite.onnx"), change)


WAYS: dict[str, Callable[[Path, Path], Path]] = {
    "dynamic int8": lambda path, to: dynamic(path, to, only=PRODUCTS),
    "dynamic uint8": lambda path, to: dynamic(path, to, kind=QuantType.QUInt8, only=PRODUCTS),
    "dynamic by channel": lambda path, to: dynamic(path, to, only=PRODUCTS, per_channel=True),
    "dynamic with tables": lambda path, to: dynamic(path, to),
    "static": lambda path, to: static(path, to, PRODUCTS),
    "static with tables": lambda path, to: static(path, to, [*PRODUCTS, "Gather"], QuantType.QInt8),
    "static with Gemm": lambda path, to: static(path, to, [*PRODUCTS, "Gemm"], per_channel=True),
    "static, every op": lambda path, to: static(finite(path, to), to, None),
    "operators, every op": lambda path, to: static(finite(path, to), to, None, form=QuantFormat.QOperator),
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


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, folder: Path, fused_attention: Path) -> Path:
    """What sessions of onnxruntime save of quantised graphs: products of integers are fused with what scales them."""
    found = tmp_path_factory.mktemp("saved")
    optimised(fused_attention / "quantised.onnx", found / "fused.onnx")
    optimised(dynamic(folder / "plain.onnx", found / "q.onnx", only=PRODUCTS, per_channel=True), found / "single.onnx")
    optimised(static(folder / "plain.onnx", found / "q.onnx", PRODUCTS), found / "static.onnx")
    return found


def kinds_of(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(path)).graph.node}


@pytest.mark.parametrize(("name", "op", "hidden"), [("fused", "DynamicQuantizeMatMul", HIDDEN),
                                                    ("single", "MatMulIntegerToFloat", set())])  # fmt: skip
def test_what_a_session_saves_is_right(folder: Path, saved: Path, name: str, op: str, hidden: set[str]) -> None:
    assert op in kinds_of(saved / f"{name}.onnx")
    report = verdict(saved / f"{name}.onnx", folder / "hf")
    assert report.verdict == "right", explain(report)
    assert {name for name, status in statuses(report).items() if status == "right"} == PROBES - hidden
    assert max(finding.own or 0.0 for finding in report.findings) < 4


@pytest.mark.parametrize(
    ("name", "scale", "first"),
    [
        ("fused", "bert.embeddings.word_embeddings.weight_scale", "embeddings.norm"),
        ("fused", ("DynamicQuantizeMatMul", 2, 0), "layer.0.attention_output"),
        ("single", ("MatMulIntegerToFloat", 3, -1), "layer.1.query layer.1.key layer.1.value"),
    ],
)
def test_a_scale_that_a_session_saved_wrong_by_a_hundredth_is_found(
    folder: Path, saved: Path, tmp_path: Path, name: str, scale: Any, first: str
) -> None:
    def change(graph: Any) -> None:
        chosen = scale
        if not isinstance(chosen, str):
            op, at, number = chosen
            chosen = [node for node in graph.node if node.op_type == op][number].input[at]
        by_a_hundredth(graph, chosen)

    report = verdict(changed(saved / f"{name}.onnx", tmp_path / "wrong.onnx", change), folder / "hf")
    assert report.verdict == "diverges"
    assert report.first in first.split()


def test_what_a_session_makes_of_static_integers_is_right(folder: Path, saved: Path) -> None:
    """QLinearMatMul doesn't show its sums: they follow from the integers."""
    assert {"QLinearMatMul", "FusedGemm"} <= kinds_of(saved / "static.onnx")
    report = verdict(saved / "static.onnx", folder / "hf")
    assert report.verdict == "right", explain(report)
    assert {name for name, status in statuses(report).items() if status == "right"} == PROBES - {"pooled_pre"}


def test_operators_that_nobody_replays_are_named(folder: Path, tmp_path: Path) -> None:
    """One in place of the softmax, which no rounding explains."""

    def change(graph: Any) -> None:
        node = next(one for one in graph.node if one.op_type == "QLinearSoftmax")
        node.op_type = "QLinearLeakyRelu"
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("alpha", 0.5))

    path = WAYS["operators, every op"](folder / "plain.onnx", tmp_path / "operators.onnx")
    report = verdict(changed(path, tmp_path / "other.onnx", change), folder / "hf")
    assert (report.verdict, report.first) == ("diverges", "layer.0.probs")
    assert any("made by QLinearLeakyRelu" in note for note in report.notes)


def test_scales_may_be_lists_of_one(folder: Path, tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        for tensor in graph.initializer:
            if tensor.name.endswith(("_scale", "_zero_point")) and not tensor.dims:
                tensor.dims.append(1)

    path = WAYS["static"](folder / "plain.onnx", tmp_path / "static.onnx")
    assert_right(verdict(changed(path, tmp_path / "lists.onnx", change), folder / "hf"))


def test_integers_of_operators_are_shown_as_numbers(folder: Path, tmp_path: Path) -> None:
    """What a file of operators makes is what it says: the tensors beside those of the same graph with quantisers."""
    kinds = {"operators, every op": "QLinearAdd", "static, every op": "QuantizeLinear"}
    found = []
    for way, op in kinds.items():
        path = WAYS[way](folder / "plain.onnx", tmp_path / "quantised.onnx")
        assert op in kinds_of(path)
        subject = OnnxSubject(path, model=folder / "hf")
        found.append(subject.answer(exported.case_of(subject)).values)
    for name in ("embeddings.sum", "layer.0.query", "layer.0.context"):
        apart = np.abs(found[0][name] - found[1][name]).max()
        assert apart < 0.1 * np.abs(found[1][name]).max(), name


@given(
    values=arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32)),
    shift=st.sampled_from([0.0, 1e6, -1e6]),
)
@settings(max_examples=60)
def test_integers_are_those_of_onnxruntime(values: Any, shift: float) -> None:
    values = (values + np.float32(shift)).astype(np.float32)
    for ours, theirs in zip(dynamically(values), quantiser().run(None, {"x": values}), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, np.reshape(theirs, ours.shape))


@cache
def quantiser() -> Any:
    """A session that computes DynamicQuantizeLinear of x."""
    kinds = {"y": onnx.TensorProto.UINT8, "scale": onnx.TensorProto.FLOAT, "zero": onnx.TensorProto.UINT8}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("DynamicQuantizeLinear", ["x"], list(kinds))], "quantiser",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n"])],
        [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


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
