"""Contexts with their choices: C sequences a unit."""

from pathlib import Path

import numpy as np
import pytest

from bertref.data.tasks.examples import ChoiceExample
from bertref.data.tasks.swag import choice_part
from bertref.errors import InputError
from bertref.tasks.choices import ChoiceFeatures, ChoiceSettings, encoded
from bertref.tasks.store import open_or_make
from bertref.text import Tokenizer
from tests.inference.saved import VOCAB

TOKENIZER = Tokenizer(VOCAB)
SWAG = """video-id,sent1,sent2,ending0,ending1,ending2,ending3,label
a,It rained.,He,lived in the city,wrote,went,went home,2
b,Ada wrote the book.,She,,went,lived in New York and wrote the book,rained,0
"""


def features(tmp_path: Path) -> tuple[ChoiceFeatures, list[ChoiceExample]]:
    (tmp_path / "train.csv").write_text(SWAG.replace("She,,", "She,wrote,"))
    return ChoiceFeatures(4, ChoiceSettings(18)), list(choice_part("train", tmp_path / "train.csv").read())


def test_a_unit_has_a_pair_for_each_choice(tmp_path: Path) -> None:
    made, examples = features(tmp_path)
    counted: dict[str, int] = {}
    units = list(made.units(examples, TOKENIZER, counted))
    assert [unit.targets["labels"] for unit in units] == [2, 0]
    for unit, example in zip(units, examples, strict=True):
        want = [TOKENIZER.encode(example.context, choice, 18) for choice in example.choices]
        assert list(unit.sequences) == want
    assert counted == {"examples": 2, "cut": 1}
    assert max(len(each.input_ids) for each in units[1].sequences) == 18


def test_a_batch_is_examples_by_choices(tmp_path: Path) -> None:
    made, examples = features(tmp_path)
    store = open_or_make(tmp_path / "f", made.units(examples, TOKENIZER, {}), made.columns, made.width, {}, padding=0)
    batch = made.batch(store, np.array([1, 0]))
    assert batch.input_ids.shape[:2] == (2, 4)
    assert batch.labels.tolist() == [0, 2]  # type: ignore[attr-defined]
    assert batch.example.tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]
    rows = encoded(TOKENIZER, [examples[1], examples[0]], made.settings)
    for row, some in zip(batch.input_ids, rows, strict=True):
        for ids, encoding in zip(row, some, strict=True):
            assert ids[: len(encoding.input_ids)].tolist() == encoding.input_ids


@pytest.mark.parametrize(
    ("choices", "label", "message"),
    [
        (("a", "b", "c"), 0, "x.csv, line 9: the number of choices is 3; it must be 2"),
        (("a", "b"), None, "x.csv, line 9: has no label"),
    ],
)
def test_examples_that_can_not_be_learnt(choices: tuple[str, ...], label: int | None, message: str) -> None:
    example = ChoiceExample("x.csv, line 9", "It rained.", choices, label)
    with pytest.raises(InputError, match=message):
        list(ChoiceFeatures(2, ChoiceSettings()).units([example], TOKENIZER, {}))
