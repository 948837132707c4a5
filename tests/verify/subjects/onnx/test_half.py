"""float16 graphs: what is inside and the outputs behind it come from one session, the untouched file's outputs from
another; both are judged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.verify.judgement.judge import compare
from bertref.verify.meant import case_for
from bertref.verify.records import Answers
from bertref.verify.subjects.onnx import OnnxSubject

from . import exported
from .exported import case_of, changed, from_torch, fused, halves, hugging_face, statuses, verdict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder, its model in float32, and that in float16."""
    found = tmp_path_factory.mktemp("half")
    exported.folder(found / "hf")
    halves(from_torch(found / "plain.onnx", hugging_face()), found / "half.onnx")
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_half_precision_graph_is_right(folder: Path, seed: int) -> None:
    subject = OnnxSubject(folder / "half.onnx", model=folder / "hf")
    assert subject.precision == "float16"
    case = case_for(subject, seed)
    answers = subject.answer(case)
    assert set(answers.untouched) == {"mlm.logits", "nsp.logits"}
    report = compare(case, answers, subject.precision)
    assert (report.verdict, report.notes) == ("right", ())
    assert statuses(report)["layer.1.ffn_act"] == "right"
    assert max(finding.own or 0.0 for finding in report.findings) < 4, (
        "what is seen is what the next node computes with"
    )


@pytest.mark.parametrize("kept", [("LayerNormalization",), ("LayerNormalization", "Softmax", "Erf")], ids="/".join)
def test_a_mixed_graph_is_right(folder: Path, tmp_path: Path, kept: tuple[str, ...]) -> None:
    assert verdict(halves(folder / "plain.onnx", tmp_path / "mixed.onnx", *kept), folder / "hf").verdict == "right"


def test_a_fused_half_precision_graph_is_right(folder: Path, tmp_path: Path) -> None:
    path = halves(fused(folder / "plain.onnx", tmp_path / "fused.onnx"), tmp_path / "half.onnx")
    assert verdict(path, folder / "hf").verdict == "right"


def epsilon(graph: Any) -> None:
    nodes = [node for node in graph.node if node.op_type == "LayerNormalization"]
    next(a for a in nodes[3].attribute if a.name == "epsilon").f = 0.03


def test_a_wrong_epsilon_is_found(folder: Path, tmp_path: Path) -> None:
    wrong = changed(folder / "half.onnx", tmp_path / "wrong.onnx", epsilon)
    assert verdict(wrong, folder / "hf").first == "layer.1.attention_norm"


def test_two_sessions_that_differ_by_more_than_rounding_are_the_finding(folder: Path) -> None:
    subject = OnnxSubject(folder / "plain.onnx", model=folder / "hf")
    case = case_of(subject)
    answers = subject.answer(case)
    values = {name: value * np.float32(1 + 1e-7) for name, value in answers.untouched.items()}
    assert compare(case, Answers(answers.values, untouched=values), "float32").verdict == "right"
    values["nsp.logits"] = values["nsp.logits"] * np.float32(1.001)
    report = compare(case, Answers(answers.values, untouched=values), "float32")
    assert (report.verdict, report.first) == ("diverges", "nsp.logits")
    finding = next(finding for finding in report.findings if finding.name == "nsp.logits")
    assert finding.status == "wrong"
    assert "when nothing inside is looked at" in finding.note
