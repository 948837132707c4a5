"""Contexts and choices."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertref.data.tasks.examples import ChoiceExample
from bertref.data.tasks.swag import choice_part
from bertref.errors import InputError

from .files import read, write

HEADER = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3"
ROW = '0,anet_1,7,"A man sits. He","A man sits.","He",gold,stands up.,"falls, hard.",sings.,eats.'


def test_swag(tmp_path: Path) -> None:
    choices = ("He stands up.", "He falls, hard.", "He sings.", "He eats.")
    path = write(tmp_path / "train.csv", f"{HEADER},label\n{ROW},2\n")
    example = ChoiceExample("train.csv, line 2", "A man sits.", choices, 2, "anet_1")
    assert read(choice_part("train", path)) == [example]
    path = write(tmp_path / "test.csv", f"{HEADER}\n{ROW}\n")
    assert read(choice_part("test", path, labelled=False)) == [
        ChoiceExample("test.csv, line 2", "A man sits.", choices, None, "anet_1")
    ]
    with pytest.raises(InputError, match="line 2: no column 'label'; there are"):
        read(choice_part("train", path))


def test_any_number_of_choices(tmp_path: Path) -> None:
    rows = [
        {"context": "a", "choices": list("bcdef"), "label": 4},
        {"context": "g", "choices": list("hijkl"), "label": "0"},
    ]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [(e.context, len(e.choices), e.label) for e in read(choice_part("train", path))] == [
        ("a", 5, 4),
        ("g", 5, 0),
    ]
    path = write(tmp_path / "b.jsonl", '{"sent1": "a", "sent2": "", "ending0": "b", "ending1": "c", "label": 1}')
    assert read(choice_part("train", path)) == [ChoiceExample("b.jsonl, line 1", "a", ("b", "c"), 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choices": ["b", "c", "d"]}, "line 2: the number of choices is 3, but 2 above it"),
        ({"choices": ["b"], "label": 0}, "line 2: a choice needs at least two; there is 1"),
        ({"choices": "bc"}, "line 2: 'choices' has to be a list"),
        ({"choices": ["b", " "]}, "line 2: the text in 'choice 1' is empty"),
        ({"context": ""}, "line 2: the text in 'context' is empty"),
        ({"label": 2}, "line 2: the label is 2; it has to be the number of a choice, 0 to 1"),
        ({"label": -1}, "line 2: the label is -1"),
        ({"label": 0.5}, "line 2: the label is 0.5"),
        ({"label": True}, "line 2: the label is True"),
        ({"label": ""}, "line 2: no label"),
    ],
)
def test_bad_choices(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    good = {"context": "a", "choices": ["b", "c"], "label": 0}
    path = write(tmp_path / "a.jsonl", f"{json.dumps(good)}\n{json.dumps({**good, **changes})}\n")
    with pytest.raises(InputError) as caught:
        read(choice_part("train", path))
    assert str(caught.value).startswith(f"{path}, {message}")


def test_bad_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sent1,sent2,ending0,label\na,b,c,0\n")
    with pytest.raises(InputError, match="line 2: a choice needs at least two"):
        read(choice_part("train", path))
    path = write(tmp_path / "a.csv", "sent1,sent2,label\na,b,0\n")
    with pytest.raises(InputError, match="line 2: no column 'ending0'; there are 'sent1', 'sent2', 'label'"):
        read(choice_part("train", path))
    path = write(tmp_path / "a.csv", "sent1,sent2,ending0,ending1,label\na,b,c,,0\n")
    with pytest.raises(InputError, match="line 2: the text in 'ending1' is empty"):
        read(choice_part("train", path))
