"""A file of a part of a model is judged as that part: the encoder, with or without its pooler, masked words or next
sentences alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from torch import nn

from bertref.verify.records import Report
from bertref.verify.report.words import explain

from .exported import changed, folder, from_torch, hugging_face, own, verdict
from .test_outputs import scale

Change = Callable[[Any], None]
ENCODER, BOTH = ("last_hidden_state",), ("last_hidden_state", "pooler_output")


class Part(nn.Module):
    """The encoder, and the outputs that are asked for."""

    def __init__(self, encoder: Any, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder, self.outputs = encoder, outputs

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        found = self.encoder(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return tuple(found[name] for name in self.outputs)


def encoder(path: Path, outputs: tuple[str, ...], change: Change | None = None, *, dynamo: bool = False) -> Path:
    """What torch's exporter makes of transformers' BertModel."""
    return from_torch(path, Part(hugging_face(change).bert, outputs), dynamo=dynamo, outputs=outputs)


def with_class(path: Path, kind: str, change: Change | None = None) -> Path:
    """The same of another of its classes: a single output, that is called logits."""
    whole = hugging_face()
    model = getattr(transformers, kind)(whole.config).eval()
    model.load_state_dict(whole.state_dict(), strict=False)
    if change is not None:
        change(model)
    return from_torch(path, model, outputs=("logits",))


def epsilon(model: Any) -> None:
    model.bert.encoder.layer[1].attention.output.LayerNorm.eps = 1e-3


def no_tanh(model: Any) -> None:
    model.bert.pooler.activation = nn.Identity()


def relu(model: Any) -> None:
    model.cls.predictions.transform.transform_act_fn = nn.ReLU()


def forward(report: Report) -> set[str]:
    """The parts of the network that the report is about, forward."""
    names = [finding.name for finding in report.findings if ":" not in finding.name]
    return {name.partition(".")[0] for name in names}


def judged(report: Report) -> set[str]:
    return {finding.name for finding in report.findings if finding.status == "right"}


@pytest.mark.parametrize("dynamo", [False, True], ids=["older", "newer"])
def test_an_encoder_alone(tmp_path: Path, dynamo: bool) -> None:
    """Beside the whole model's folder, too."""
    report = verdict(encoder(tmp_path / "model.onnx", ENCODER, dynamo=dynamo), folder(tmp_path / "hf"))
    assert (report.verdict, report.notes) == ("right", ()), explain(report)
    assert forward(report) == {"embeddings", "layer", "loss"}
    assert len(judged(report)) == 33
    wrong = verdict(encoder(tmp_path / "wrong.onnx", ENCODER, epsilon, dynamo=dynamo))
    assert wrong.first == "layer.1.attention_norm"


def test_an_encoder_with_its_pooler(tmp_path: Path) -> None:
    report = verdict(encoder(tmp_path / "model.onnx", BOTH))
    assert (report.verdict, report.notes) == ("right", ()), explain(report)
    assert forward(report) == {"embeddings", "layer", "pooled_pre", "pooled", "loss"}
    assert "pooled" in judged(report)
    assert verdict(encoder(tmp_path / "wrong.onnx", BOTH, no_tanh)).first == "pooled"


@pytest.mark.parametrize(
    ("kind", "parts", "logits"),
    [
        ("BertForMaskedLM", {"mlm"}, "mlm.logits"),
        ("BertForNextSentencePrediction", {"pooled_pre", "pooled", "nsp"}, "nsp.logits"),
    ],
)
def test_one_head_of_pretraining(tmp_path: Path, kind: str, parts: set[str], logits: str) -> None:
    path = with_class(tmp_path / "model.onnx", kind)
    report = verdict(path)
    assert (report.verdict, report.notes) == ("right", ()), explain(report)
    assert forward(report) == {"embeddings", "layer", "loss"} | parts
    assert logits in judged(report)
    wrong = verdict(changed(path, tmp_path / "wrong.onnx", lambda graph: scale(graph, "logits", 1.0001)))
    assert (wrong.verdict, wrong.first) == ("diverges", logits)


def test_a_mistake_inside_a_head_alone(tmp_path: Path) -> None:
    assert verdict(with_class(tmp_path / "wrong.onnx", "BertForMaskedLM", relu)).first == "mlm.act"


@pytest.mark.parametrize("heads", [(), ("pooler",), ("masked_lm",), ("next_sentence",), ("masked_lm", "next_sentence")])
def test_a_file_of_ours_has_the_heads_that_it_says(tmp_path: Path, heads: tuple[str, ...]) -> None:
    report = verdict(own(tmp_path / "model.onnx", heads))
    assert report.verdict == "right", explain(report)
    names = [finding.name for finding in report.findings if ":" not in finding.name and finding.name[:5] != "loss."]
    assert judged(report) == set(names)
    assert any(name.startswith("mlm.") for name in names) == ("masked_lm" in heads)
