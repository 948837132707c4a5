"""Why a quantised graph is wrong: mistakes in the integers that it stores, each made by editing a right file, and those
of float32 graphs; each is named, and without its own hypothesis nothing else is."""

from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import QuantFormat, QuantType

from bertref.verify.checking import check
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.scene import Scene
from bertref.verify.judgement.judge import judged
from bertref.verify.meant import case_for
from bertref.verify.records import Diagnosis, Report
from bertref.verify.subjects.onnx import OnnxSubject

from . import exported
from .exported import changed, dynamic, from_torch, hugging_face, static
from .test_quantised import PRODUCTS

ROWS = [f"layer.{i}.{name}" for i in range(2)
        for name in ("query", "key", "value", "attention_output", "ffn_pre", "ffn_output")]  # fmt: skip
"""What the products of stored weights make, in the graph's order."""


class Weight:
    """A stored weight of a graph, by the tensor that it makes: its integers (in, out), its scale and its zero."""

    def __init__(self, graph: Any, row: str) -> None:
        self._graph = graph
        stored = {tensor.name for tensor in graph.initializer}
        ops = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
        weights = [node.input[ops[node.op_type]] for node in graph.node if node.op_type in ops]
        names = [one.removesuffix("_quantized").removesuffix("_DequantizeLinear_Output") for one in weights]
        self._name = [name for name in names if f"{name}_quantized" in stored][ROWS.index(row)]

    def __getitem__(self, what: str) -> Any:
        return onnx.numpy_helper.to_array(self._tensor(what)).copy()

    def __setitem__(self, what: str, value: Any) -> None:
        value = np.asarray(value, None if what == "quantized" else self[what].dtype)
        self._tensor(what).CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(value), f"{self._name}_{what}"))

    def _tensor(self, what: str) -> Any:
        return next(one for one in self._graph.initializer if one.name == f"{self._name}_{what}")

    def retype(self, kind: Any) -> None:
        """Other numbers of the same bytes."""
        for what in ("quantized", "zero_point"):
            tensor, value = self._tensor(what), self[what]
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value).view(kind), tensor.name))


# -- mistakes ----------------------------------------------------------------------------------------------------------


def scaled(factor: float, *rows: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        for row in rows:
            Weight(graph, row)["scale"] = Weight(graph, row)["scale"] * np.float32(factor)

    return change


def copied(what: Collection[str], to: str, source: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        for one in what:
            Weight(graph, to)[one] = Weight(graph, source)[one]

    return change


def edited(row: str, what: str, edit: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        Weight(graph, row)[what] = edit(Weight(graph, row)[what])

    return change


def stored(name: str, edit: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        tensor = next(one for one in graph.initializer if one.name == name)
        tensor.CopyFrom(onnx.numpy_helper.from_array(edit(onnx.numpy_helper.to_array(tensor)), name))

    return change


def no_bias(graph: Any) -> None:
    node = next(one for one in graph.node if one.op_type == "Gemm" and "pooler" in one.output[0])
    del node.input[2]


def across(graph: Any) -> None:
    """The scales of a square matrix's columns, for its rows."""
    name = Weight(graph, "layer.1.value")._name
    node = next(one for one in graph.node if one.op_type == "DequantizeLinear" and one.input[0].startswith(name))
    next(one for one in node.attribute if one.name == "axis").i = 0


def unsigned(graph: Any) -> None:
    Weight(graph, "layer.0.ffn_output").retype(np.int8)


def without_zero(graph: Any) -> None:
    name = Weight(graph, "layer.1.ffn_pre")._name
    node = next(one for one in graph.node if f"{name}_quantized" in one.input)
    node.input[3] = ""


def requantised(row: str, factor: float, low: int, high: int) -> Callable[[Any], None]:
    """Made anew on a scale that is smaller by a factor, and cut off at these ends."""

    def change(graph: Any) -> None:
        weight = Weight(graph, row)
        parameter = {"query": "attention.self.query", "ffn_pre": "intermediate.dense"}[row.rpartition(".")[2]]
        right = exported.CASE.params[f"bert.encoder.{row.rpartition('.')[0]}.{parameter}.weight"].T
        scale = weight["scale"] * np.float32(factor)
        weight["quantized"] = np.clip(np.rint(right / scale), low, high).astype(np.int8)
        weight["scale"] = scale

    return change


def stored_anew(graph: Any, node: Any, at: int, edit: Callable[[Any], Any]) -> None:
    """A node's input, a stored tensor, edited for this node alone."""
    tensor = next(one for one in graph.initializer if one.name == node.input[at])
    value = onnx.numpy_helper.to_array(tensor)
    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(edit(value)).astype(value.dtype), "anew"))
    node.input[at] = "anew"


def behind(graph: Any, name: str, op: str) -> Any:
    """The node of this op that reads what some node, by a part of its name, made and QuantizeLinear rounded."""
    quantiser = next(one for one in graph.node if one.op_type == "QuantizeLinear" and name in one.input[0])
    return next(one for one in graph.node if one.op_type == op and quantiser.output[0] in one.input)


def read_back(at: int, edit: Callable[[Any], Any], op: str = "DequantizeLinear") -> Callable[[Any], None]:
    """How the integers of layer 0's normed attention are read."""

    def change(graph: Any) -> None:
        stored_anew(graph, behind(graph, "layer.0/attention/output/LayerNorm", op), at, edit)

    return change


def product_of(graph: Any, name: str) -> Any:
    return next(one for one in graph.node if one.op_type == "MatMulInteger" and name in one.output[0])


def no_zero_of_input(graph: Any) -> None:
    product_of(graph, "layer.0/attention/output/dense").input[2] = ""


def scale_of_other_input(graph: Any) -> None:
    """That of the layer's normed attention, in the product behind the activation."""
    scales = next(one for one in graph.node if one.op_type == "Mul" and "layer.1/output/dense" in one.output[0]
                  and one.input[0].endswith("scale"))  # fmt: skip
    made = next(one for one in graph.node if one.op_type == "DynamicQuantizeLinear"
                and "layer.1/attention/output/LayerNorm" in one.input[0])  # fmt: skip
    scales.input[0] = made.output[1]


class Mistake(NamedTuple):
    """How the right file was quantised, the edit, the cause's id, where it is, and what its sentence says; `same`: ids
    that say the same with a fitted number."""

    way: str
    change: Callable[[Any], None]
    id: str
    first: str
    says: str
    same: tuple[str, ...] = ()


MISTAKES = {
    "a scale by a hundredth": Mistake(
        "dynamic", scaled(1.01, "layer.0.ffn_pre"), "int8.weight_scale", "layer.0.ffn_pre", "1.01 (fitted 1.0100e+00"
    ),
    "all scales for 128 steps": Mistake(
        "static", scaled(127 / 128, *ROWS), "int8.weight_scale", "layer.0.query", "127/128 (fitted 9.92"
    ),
    "the scale of another": Mistake(
        "dynamic", copied(["scale"], "layer.1.key", "layer.0.value"), "int8.scale_of_another", "layer.1.key",
        "that of layer.0.value", ("int8.weight_scale",),
    ),
    "the scales of another's channels": Mistake(
        "by channel", copied(["scale"], "layer.0.query", "layer.0.key"), "int8.scale_of_another", "layer.0.query",
        "that of layer.0.key",
    ),
    "the scales in another order": Mistake(
        "by channel", edited("layer.0.ffn_pre", "scale", lambda scale: scale[::-1]), "int8.scale_order",
        "layer.0.ffn_pre", "from the last to the first",
    ),
    "the scales along another axis": Mistake(
        "static by channel", across, "int8.scale_order", "layer.1.value", "along the other axis"
    ),
    "a zero off by 3": Mistake(
        "unsigned", edited("layer.0.attention_output", "zero_point", lambda zero: zero - 3), "int8.weight_zero",
        "layer.0.attention_output", ", and was ",
    ),
    "no zero": Mistake("unsigned", without_zero, "int8.weight_zero", "layer.1.ffn_pre", "is 0, and was "),
    "read with a sign": Mistake(
        "unsigned", unsigned, "int8.sign", "layer.0.ffn_output", "read as int8, and were made as uint8"
    ),
    "cut off": Mistake(
        "dynamic", requantised("layer.1.query", 0.5, -128, 127), "int8.cut_off", "layer.1.query", "where 8 bits end"
    ),
    "cut off at 7 bits": Mistake(
        "static", requantised("layer.0.ffn_pre", 1.0, -64, 63), "int8.cut_off", "layer.0.ffn_pre", "where 7 bits end"
    ),
    "weights of another": Mistake(
        "static", copied(["quantized", "scale"], "layer.1.query", "layer.1.value"), "int8.weights_of_another",
        "layer.1.query", "those of value of the same layer",
    ),
    "integers of another": Mistake(
        "dynamic", copied(["quantized"], "layer.1.key", "layer.0.key"), "int8.weights_of_another", "layer.1.key",
        "those of the layer before",
    ),
    "transposed": Mistake(
        "dynamic", edited("layer.0.key", "quantized", np.transpose), "dense.transposed", "layer.0.key", "not transposed"
    ),
    "transposed, by channel": Mistake(
        "by channel", edited("layer.0.attention_output", "quantized", np.transpose), "int8.transposed",
        "layer.0.attention_output", "the scales of its channels are not",
    ),
    "a bias's scale": Mistake(
        "with Gemm", stored("bert.pooler.dense.bias_quantized_scale", lambda scale: scale * np.float32(1.02)),
        "int8.bias_scale", "pooled_pre", "1.02 (fitted",
    ),
    "no bias": Mistake("with Gemm", no_bias, "dense.no_bias", "pooled_pre", "is not added"),
    "a table's scale": Mistake(
        "with tables", stored("bert.embeddings.word_embeddings.weight_scale", lambda scale: scale * np.float32(0.98)),
        "int8.weight_scale", "embeddings.word", " is 0.980",
    ),
    "a scale read back wrong": Mistake(
        "static", read_back(1, lambda scale: scale * np.float32(1.03)), "int8.input_scale", "layer.0.attention_norm",
        "is 1.03 times the one by which they were made",
    ),
    "a zero read back wrong": Mistake(
        "static", read_back(2, lambda zero: zero + 4), "int8.input_zero", "layer.0.attention_norm", ", and was "
    ),
    "no zero of the input": Mistake(
        "dynamic", no_zero_of_input, "int8.input_zero", "layer.0.attention_output", "is left out"
    ),
    "the scale of other inputs": Mistake(
        "dynamic", scale_of_other_input, "int8.input_scale", "layer.1.ffn_output",
        "is that of other integers, layer.1.attention_norm",
    ),
    "an operator's scale of its input": Mistake(
        "operators", read_back(1, lambda scale: scale * np.float32(0.9), "QLinearMatMul"), "int8.input_scale",
        "layer.0.ffn_pre", "is 0.9 times the one",
    ),
    "an operator's scale of its weights": Mistake(
        "operators", scaled(1.01, "layer.1.key"), "int8.weight_scale", "layer.1.key", "1.01 (fitted"
    ),
}  # fmt: skip


def static_by_channel(path: Path, to: Path) -> Path:
    return static(path, to, PRODUCTS, per_channel=True)


WAYS: dict[str, Callable[[Path, Path], Path]] = {
    "dynamic": lambda path, to: dynamic(path, to, only=PRODUCTS),
    "unsigned": lambda path, to: dynamic(path, to, kind=QuantType.QUInt8, only=PRODUCTS),
    "by channel": lambda path, to: dynamic(path, to, only=PRODUCTS, per_channel=True),
    "static": lambda path, to: static(path, to, PRODUCTS),
    "static by channel": static_by_channel,
    "with Gemm": lambda path, to: static(path, to, [*PRODUCTS, "Gemm"]),
    "with tables": dynamic,
    "operators": lambda path, to: static(path, to, [*PRODUCTS, "Gemm"], form=QuantFormat.QOperator),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder, its model in float32, and that quantised in several ways."""
    found = tmp_path_factory.mktemp("int8")
    exported.folder(found / "hf")
    from_torch(found / "plain.onnx", hugging_face())
    for name, quantise in WAYS.items():
        quantise(found / "plain.onnx", found / f"{name}.onnx")
    return found


class Examined:
    """A file that is asked two cases once; its report and what it is diagnosed to have."""

    def __init__(self, path: Path, model: Path) -> None:
        self._subject = OnnxSubject(path, model=model)
        self.report, self._scene = self._judged(0)

    @cache  # noqa: B019  (of a test's own objects)
    def _judged(self, seed: int) -> tuple[Report, Scene]:
        case = case_for(self._subject, seed)
        report, judgement = judged(case, self._subject.answer(case), self._subject.precision)
        return report, Scene(judgement)

    def diagnosed(self, *, without: Collection[str] = (), force: bool = False) -> Diagnosis:
        return diagnose(
            self.report, self._scene, lambda kind, i: self._judged(1 + i)[1], without=without, force=force
        )


SAMPLE = (
    "a scale by a hundredth", "the scale of another", "the scales in another order", "no zero", "cut off at 7 bits",
    "integers of another", "a bias's scale", "a scale read back wrong", "no zero of the input",
    "an operator's scale of its input",
)  # fmt: skip
"""Those that are tried always: most hypotheses, and every way to quantise."""


def sampled(every: Collection[Any], always: Collection[Any]) -> list[Any]:
    """All of them, the others only with `--slow`."""
    return [one if one in always else pytest.param(one, marks=pytest.mark.slow) for one in every]


@pytest.mark.parametrize("name", sampled(MISTAKES, SAMPLE))
def test_a_mistake_in_what_is_stored_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    way, change, id, first, says, same = MISTAKES[name]
    examined = Examined(changed(folder / f"{way}.onnx", tmp_path / "wrong.onnx", change), folder / "hf")
    assert examined.report.first == first
    found = examined.diagnosed()
    assert (found.outcome, [cause.id for cause in found.causes], found.left) == ("named", [id], ())
    assert says in found.causes[0].sentence
    assert "With that the forward pass is right to rounding" in found.causes[0].sentence
    without = examined.diagnosed(without=[id, *same])
    assert (without.outcome, without.causes) == ("unknown", ())


# -- mistakes of float32 graphs ----------------------------------------------------------------------------------------


def epsilon(model: Any) -> None:
    for norm in (one for one in model.modules() if isinstance(one, torch.nn.LayerNorm)):
        norm.eps = 1e-5


def gelu(model: Any) -> None:
    for layer in model.bert.encoder.layer:
        layer.intermediate.intermediate_act_fn = torch.nn.GELU(approximate="tanh")


def scale(model: Any) -> None:
    for layer in model.bert.encoder.layer:
        layer.attention.self.scaling = exported.CASE.config.hidden_size**-0.5


def no_mask(graph: Any) -> None:
    """Infinities in the graph become 0."""
    for node in graph.node:
        for tensor in (one.t for one in node.attribute if one.name == "value"):
            value = onnx.numpy_helper.to_array(tensor)
            if value.dtype.kind == "f" and np.isneginf(value).all():
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(value), tensor.name))


IN_FLOAT = {epsilon: "norm.epsilon", gelu: "activation.tanh_gelu", scale: "attention.scale"}


@pytest.mark.parametrize("way", sampled(["dynamic", "static"], ["static"]))
@pytest.mark.parametrize("change", sampled(IN_FLOAT, [epsilon, gelu]))
def test_mistakes_of_float32_graphs_are_named(
    folder: Path, tmp_path: Path, change: Callable[[Any], None], way: str
) -> None:
    plain = from_torch(tmp_path / "wrong.onnx", hugging_face(change))
    report = check(OnnxSubject(WAYS[way](plain, tmp_path / "int8.onnx"), model=folder / "hf"), repeat=False)
    assert report.diagnosis is not None
    assert [cause.id for cause in report.diagnosis.causes] == [IN_FLOAT[change]]
    assert report.diagnosis.left == ()


@pytest.mark.parametrize("way", sampled(["dynamic", "static"], ["dynamic"]))
def test_a_missing_mask_is_named(folder: Path, tmp_path: Path, way: str) -> None:
    plain = changed(folder / "plain.onnx", tmp_path / "wrong.onnx", no_mask)
    report = check(OnnxSubject(WAYS[way](plain, tmp_path / "int8.onnx"), model=folder / "hf"), repeat=False)
    assert report.diagnosis is not None
    assert [cause.id for cause in report.diagnosis.causes] == ["attention.mask_missing"]


@pytest.mark.filterwarnings("ignore:invalid value")  # onnxruntime's, of infinities
@pytest.mark.parametrize("form", sampled(QuantFormat, [QuantFormat.QOperator]))
def test_a_mask_of_infinities_that_is_quantised_is_named(folder: Path, tmp_path: Path, form: QuantFormat) -> None:
    examined = Examined(static(folder / "plain.onnx", tmp_path / "all.onnx", None, form=form), folder / "hf")
    assert examined.report.first == "layer.0.probs"
    found = examined.diagnosed()
    assert (found.outcome, [cause.id for cause in found.causes]) == ("named", ["int8.infinite_scale"])
    assert examined.diagnosed(without=["int8.infinite_scale"]).causes == ()


@pytest.mark.parametrize("way", sampled(WAYS, ["dynamic", "static", "operators"]))
def test_no_cause_in_right_quantised_graphs(folder: Path, way: str) -> None:
    examined = Examined(folder / f"{way}.onnx", folder / "hf")
    assert examined.report.verdict == "right"
    found = examined.diagnosed(force=True)
    assert (found.outcome, found.causes, found.looks) == ("unknown", (), ())
    assert found.ruled_out
