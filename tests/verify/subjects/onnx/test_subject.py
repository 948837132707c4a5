"""ONNX files as subjects: those that bertref writes, and those that torch makes of Hugging Face's model."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from bertref.config import config_to_dict
from bertref.errors import InputError
from bertref.onnx_export import export
from bertref.verify.cases.case import generate, generate_for
from bertref.verify.checking import check
from bertref.verify.meant import case_of_texts
from bertref.verify.records import Case
from bertref.verify.subject import BringsWeights
from bertref.verify.subjects import torch_model
from bertref.verify.subjects.onnx import OnnxSubject
from tests.model_cases import probes_of_depth

from ..compare import worst
from . import exported

CASE = generate(71)
PROBES = [name for name in probes_of_depth(2) if not name.startswith("loss.")]
ROWS, LENGTH = CASE.batch.input_ids.shape


def case_of(subject: OnnxSubject, seed: int = 3) -> Case:
    assert isinstance(subject, BringsWeights)
    brought = subject.weights()
    assert brought is not None
    return generate_for(
        brought.config, brought.numerics, seed, params=brought.params, rows=ROWS, length=LENGTH, optimizer=False
    )


def own_file(path: Path, **options: Any) -> Path:
    return export(CASE.params, CASE.config, CASE.numerics, path, **{"heads": ("pretraining",), **options})


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 2e-6), ("float64", 1e-12), ("float16", 2e-2)])
def test_own_file_with_probes(tmp_path: Path, dtype: str, limit: float) -> None:
    subject = OnnxSubject(own_file(tmp_path / "model.onnx", probes=PROBES, dtype=dtype))
    assert subject.precision == dtype
    case = case_of(subject)
    answers = subject.answer(case)
    assert set(answers.values) == set(PROBES)
    assert 0 < worst(case, answers.values) < limit


def test_own_file_without_probes_shows_what_it_computes(tmp_path: Path) -> None:
    subject = OnnxSubject(own_file(tmp_path / "model.onnx"))
    case = case_of(subject)
    values = subject.answer(case).values
    assert set(values) == set(PROBES)
    assert worst(case, values) < 2e-6
    assert set(subject.answer(case, {"pooled", "grad:pooled"}).values) == {"pooled"}


def test_an_encoder_alone(tmp_path: Path) -> None:
    params = {name: array for name, array in CASE.params.items() if not name.startswith(("cls.", "bert.pooler."))}
    subject = OnnxSubject(export(params, CASE.config, CASE.numerics, tmp_path / "model.onnx", heads=()))
    case = case_of(subject)
    assert set(subject.answer(case).values) == {name for name in PROBES if name.startswith(("embeddings", "layer"))}
    assert subject.answer(case).outputs == ("layer.1.output",)
    assert worst(case, subject.answer(case).values) < 2e-6


class Encoder(torch.nn.Module):
    """A model whose names have something before "bert." and which is traced with plain arguments."""

    def __init__(self, bert: Any) -> None:
        super().__init__()
        self.wrapped = bert

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        found = self.wrapped(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return found.last_hidden_state, found.pooler_output


def from_torch(path: Path, kind: str = "stock", inputs: int = 3, **options: Any) -> Path:
    """What `torch.onnx.export` makes of a Hugging Face model with the case's weights, and its config.json beside it."""
    model = torch_model.stock(CASE.config, CASE.numerics)
    names = ["input_ids", "attention_mask", "token_type_ids"][:inputs]
    arguments = tuple(torch.from_numpy(getattr(CASE.batch, name)).long() for name in names)
    free = {name: {0: "batch", 1: "sequence"} for name in names} if kind == "free" else None
    with torch_model.with_weights(model, CASE.params), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder(model.bert) if kind == "encoder" else model, arguments, str(path), input_names=names,
            output_names=options.get("outputs") or ["prediction_logits", "seq_relationship_logits"],
            dynamic_axes=free, dynamo=False, opset_version=options.get("opset", 18),
        )  # fmt: skip
    config = config_to_dict(CASE.config, CASE.numerics)
    (path.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("opset", [18, 14], ids=["layer-norm", "layer-norm-in-parts"])
def test_a_foreign_file_shows_every_module(tmp_path: Path, opset: int) -> None:
    subject = OnnxSubject(from_torch(tmp_path / "model.onnx", opset=opset))
    case = case_of(subject)
    brought = subject.weights()
    assert brought is not None
    assert brought.params is not None
    for name, array in brought.params.items():
        assert np.array_equal(array, CASE.params[name]), name
    answers = subject.answer(case)
    assert set(answers.values) == set(PROBES)
    assert worst(case, answers.values) < 2e-6


def test_a_foreign_encoder(tmp_path: Path) -> None:
    path = from_torch(tmp_path / "model.onnx", "encoder", outputs=["last_hidden_state", "pooler_output"])
    subject = OnnxSubject(path)
    case = case_of(subject)
    values = subject.answer(case).values
    assert set(values) == {name for name in PROBES if not name.startswith(("mlm.", "nsp."))}
    assert worst(case, values) < 2e-6


def test_a_mistake_in_the_graph_shows(tmp_path: Path) -> None:
    path = from_torch(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    for node in model.graph.node:
        if node.op_type == "LayerNormalization" and "layer.1/output" in node.name:
            next(a for a in node.attribute if a.name == "epsilon").f = 0.5
    onnx.save(model, str(path))
    subject = OnnxSubject(path)
    case = case_of(subject)
    values = subject.answer(case).values
    before = {name: value for name, value in values.items() if name in PROBES[: PROBES.index("layer.1.output")]}
    assert worst(case, before) < 2e-6
    assert worst(case, {"layer.1.output": values["layer.1.output"]}) > 1e-2


def test_what_a_file_cannot_know_is_noted(tmp_path: Path) -> None:
    subject = OnnxSubject(from_torch(tmp_path / "model.onnx", inputs=2))
    assert "no input token_type_ids" in subject.answer(case_of(subject)).notes[0]


def test_a_case_of_texts(tmp_path: Path) -> None:
    """Read with the model's vocabulary, for the file's own weights and head."""
    exported.folder(tmp_path / "hf")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "##s"]
    words = [*special, *(f"w{i}" for i in range(exported.CASE.config.vocab_size - len(special)))]
    (tmp_path / "hf/vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    subject = OnnxSubject(exported.own(tmp_path / "model.onnx", ("token_classification",)))
    case = case_of_texts(subject, tmp_path / "hf", ["the of\tthes", "of"])
    assert case.heads == ("token_classification",)
    assert case.batch.input_ids.shape == (2, 7)
    report = check(subject, case, repeat=False)
    assert report.verdict == "right"
    with pytest.raises(InputError, match="name it with --model"):
        case_of_texts(subject, None, ["the"])


# ---------------------------------------------------------------------------------------------------------------------
# what is refused


def refused(path: Path, words: str, **options: Any) -> None:
    with pytest.raises(InputError, match=words) as caught:
        OnnxSubject(path, **options)
    assert len(str(caught.value).splitlines()) <= 2


def test_no_onnx_file(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a graph", encoding="utf-8")
    refused(tmp_path / "text.onnx", "not an ONNX file")
    refused(tmp_path / "absent.onnx", "no such file")


def test_no_config(tmp_path: Path) -> None:
    path = from_torch(tmp_path / "model.onnx")
    (tmp_path / "config.json").rename(tmp_path / "elsewhere.json")
    refused(path, "no config.json in .*--model")


@pytest.mark.parametrize(
    ("setting", "value", "said"), [("layer_norm_eps", 1e-5, "1e-05"), ("hidden_act", "gelu_new", "tanh")]
)
def test_a_file_that_contradicts_the_folder_that_is_named(
    tmp_path: Path, setting: str, value: Any, said: str
) -> None:
    """By what the file says of itself it is right; whoever names a folder asks for that model."""
    path = own_file(tmp_path / "model.onnx")
    told = config_to_dict(CASE.config, CASE.numerics)
    (tmp_path / "config.json").write_text(json.dumps(told))
    OnnxSubject(path, model=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**told, setting: value}))
    OnnxSubject(path)
    refused(path, f"and {tmp_path / 'config.json'} that it is {said}; leave --model out", model=tmp_path)


def test_weights_that_were_folded_away(tmp_path: Path) -> None:
    path = from_torch(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    renamed: dict[str, str] = {}
    for i, tensor in enumerate(model.graph.initializer):
        tensor.name = renamed.setdefault(tensor.name, f"w{i}")
    for node in model.graph.node:
        node.name, node.input[:] = "", [renamed.get(name, name) for name in node.input]
    onnx.save(model, str(path))
    refused(path, "weights can't be found in the graph.*--model")
    hf = torch_model.stock(CASE.config, CASE.numerics)
    with torch_model.with_weights(hf, CASE.params):
        hf.save_pretrained(tmp_path / "hf")
    subject = OnnxSubject(path, model=tmp_path / "hf")
    case = case_of(subject)
    values = subject.answer(case).values
    assert set(values) == set(PROBES), "weights are known by their values"
    assert worst(case, values) < 2e-6


def test_an_unknown_input(tmp_path: Path) -> None:
    path = own_file(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    model.graph.input.append(onnx.helper.make_tensor_value_info("past", onnx.TensorProto.INT64, ["batch"]))
    onnx.save(model, str(path))
    subject = OnnxSubject(path)
    with pytest.raises(InputError, match="its input 'past' is not known"):
        subject.answer(case_of(subject))


def test_a_case_of_other_weights(tmp_path: Path) -> None:
    subject = OnnxSubject(own_file(tmp_path / "model.onnx"))
    with pytest.raises(InputError, match="make the case from `weights"):
        subject.answer(generate(72))


def test_a_case_of_another_size(tmp_path: Path) -> None:
    subject = OnnxSubject(from_torch(tmp_path / "model.onnx"))
    brought = subject.weights()
    assert brought is not None
    case = generate_for(brought.config, brought.numerics, 1, params=brought.params, rows=2, length=7)
    with pytest.raises(InputError, match=r"input_ids is \(5, 13\) in the file and \(2, 7\) in the case"):
        subject.answer(case)
