"""Choices: the model's, against transformers on the same sequences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertref
from bertref.data.tasks.examples import ChoiceExample, Part
from bertref.errors import InputError
from bertref.evaluation import evaluate_part
from bertref.tasks.choices import ChoiceSettings, encoded
from tests.inference.saved import make

EXAMPLES = [
    ChoiceExample("dev, line 2", "It rained.", ("He went.", "Ada wrote the book in London.", "x"), 1),
    ChoiceExample("dev, line 3", "Who lived in the city?", ("Ada lived.", "it", "He went to New York."), 0),
    ChoiceExample("dev, line 4", "Ada wrote " * 12, ("the book", "it", "who"), 2),
]


def part(examples: list[ChoiceExample]) -> Part:
    return Part("dev", (), lambda: iter(examples))


def test_choices_have_transformers_logits(tmp_path: Path) -> None:
    network = make(tmp_path / "m", "BertForMultipleChoice")
    model = bertref.load(tmp_path / "m", dtype="float64")
    settings = ChoiceSettings(20)
    found = evaluate_part(model, "multiple-choice", part(EXAMPLES), settings, metrics=("accuracy",))
    want = np.zeros((3, 3))
    for n, row in enumerate(encoded(model.tokenizer, EXAMPLES, settings)):
        for c, encoding in enumerate(row):
            ids, types = (torch.tensor([[values]]) for values in encoding)
            with torch.no_grad():
                want[n, c] = network(input_ids=ids, token_type_ids=types).logits.item()
    np.testing.assert_allclose(found.answers.logits, want, rtol=1e-10)
    loss = torch.nn.functional.cross_entropy(torch.tensor(want), torch.tensor([1, 0, 2])).item()
    assert found.metrics["loss"].value == pytest.approx(loss, rel=1e-10)
    assert found.metrics["accuracy"].value == np.mean(want.argmax(axis=1) == [1, 0, 2])
    assert found.answers.predictions.tolist() == want.argmax(axis=1).tolist()


def test_examples_without_labels_and_with_other_choices(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForMultipleChoice")
    model = bertref.load(tmp_path / "m")
    unknown: Any = [*EXAMPLES, ChoiceExample("dev, line 5", "x", ("a", "b", "c"))]
    assert evaluate_part(model, "multiple-choice", part(unknown), ChoiceSettings(20)).metrics == {}
    assert evaluate_part(model, "multiple-choice", part(unknown), ChoiceSettings(20), limit=3).examples == 3
    other = [*EXAMPLES, ChoiceExample("dev, line 5", "x", ("a", "b"), 0)]
    with pytest.raises(InputError, match="dev, line 5: the number of choices is 2; it must be 3"):
        evaluate_part(model, "multiple-choice", part(other), ChoiceSettings(20))
    with pytest.raises(InputError, match="no metric 'f1' for multiple-choice; choose from accuracy, loss"):
        evaluate_part(model, "multiple-choice", part(EXAMPLES), ChoiceSettings(20), metrics=("f1",))
