"""What torch exports of other networks than BERT, under their own names, beside the folder that it came from."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bertref.verify import check, parse

from ....variant_cases import made

CLASSES = (
    ("roberta", "ForSequenceClassification", "classifier.logits"), ("distilbert", "ForQuestionAnswering", "qa.logits"),
    ("albert", "ForMaskedLM", "mlm.logits"), ("albert in groups", "ForPreTraining", "mlm.logits"),
)  # fmt: skip


class Wrapped(torch.nn.Module):
    """The model as whoever exports it wraps it: with a tuple for an output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, ...]:
        return tuple(self.model(input_ids, attention_mask=attention_mask).values())


@pytest.mark.parametrize(("name", "kind", "logits"), CLASSES)
@pytest.mark.parametrize("spoilt", [False, True])
def test_a_file_of_torch(name: str, kind: str, logits: str, spoilt: bool, tmp_path: Path) -> None:
    model = made(name, kind).float()
    model.save_pretrained(tmp_path / "model")
    if spoilt:
        with torch.no_grad():
            next(p for n, p in model.named_parameters() if n.endswith("position_embeddings.weight")).mul_(1.01)
    path, names = tmp_path / "model.onnx", ("input_ids", "attention_mask")
    given = (torch.ones((2, 9), dtype=torch.long),) * 2
    axes = {name: {0: "batch", 1: "sequence"} for name in names}
    outputs = [*model(*given).keys()]
    torch.onnx.export(
        Wrapped(model), given, str(path), dynamo=False, input_names=[*names], output_names=outputs, dynamic_axes=axes
    )
    report = check(parse(f"onnx:{path}", model=str(tmp_path / "model")))
    assert report.verdict == ("diverges" if spoilt else "right")
    assert logits in {finding.name for finding in report.findings}
    if not spoilt:
        assert not [note for note in report.notes if "not judged" in note]
