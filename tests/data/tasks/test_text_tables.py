"""Texts and labels from tables: which columns they are in, and cells that are refused."""

from pathlib import Path
from typing import Any

import pytest

from bertref.data.tasks.examples import Kind, TextExample
from bertref.data.tasks.tables import TableFormat
from bertref.data.tasks.text_tables import Columns, text_part
from bertref.errors import InputError

from .files import read, write


def examples(path: Path, kind: Kind = "classification", **options: Any) -> list[TextExample]:
    columns = {name: options.pop(name) for name in list(options) if name in Columns.__dataclass_fields__}
    return read(text_part("train", path, kind, Columns(**columns), **options))


def test_columns_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,sentence1,sentence2,label\n1,a,b,x\n")
    assert examples(path) == [TextExample("a.csv, line 2", "a", "b", "x")]
    path = write(tmp_path / "b.csv", "text,score\na,1.5\n")
    assert examples(path, "regression") == [TextExample("b.csv, line 2", "a", label=1.5)]
    assert text_part("train", path, "regression").settings["columns"]["label"] == "score"


def test_columns_that_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence1\tsentence2\tlabel\tstars\tfilm\na\tb\tx\t 5\tf1\n")
    assert examples(path, text="sentence2", label="stars", group="film") == [
        TextExample("a.tsv, line 2", "b", None, "5", "f1")
    ]
    assert examples(path, text="sentence2", pair="sentence1")[0].pair == "a"


def test_columns_by_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,a text\ny,another\n")
    found = examples(path, text="2", label="1", form=TableFormat(header=False))
    assert [(e.place, e.text, e.label) for e in found] == [
        ("a.csv, line 1", "a text", "x"),
        ("a.csv, line 2", "another", "y"),
    ]


def test_json_values(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": true}\n')
    assert [e.label for e in examples(path)] == ["1", "true"]


def test_several_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,labels\na,"x, y"\nb,\nc,"[""y"", 3]"\nd,"x,x"\n')
    assert [e.label for e in examples(path, "multi-label")] == [("x", "y"), (), ("y", "3"), ("x",)]
    path = write(tmp_path / "b.csv", "text,labels\na,x|y\n")
    assert examples(path, "multi-label", separator="|")[0].label == ("x", "y")
    path = write(tmp_path / "c.jsonl", '{"text": "a", "labels": ["x, y"]}\n{"text": "b", "labels": []}\n')
    assert [e.label for e in examples(path, "multi-label")] == [("x, y",), ()]


def test_labels_may_be_missing_where_none_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\na\n")
    assert examples(path, labelled=False) == [TextExample("a.csv, line 2", "a")]
    path = write(tmp_path / "b.csv", "text,label\na,\nb,x\n")
    assert [e.label for e in examples(path, labelled=False)] == [None, "x"]


@pytest.mark.parametrize(
    ("content", "kind", "columns", "message"),
    [
        ("text,stars\na,x\n", "classification", {}, "there are 'text', 'stars'; name it: --label stars"),
        ("body,label\na,x\n", "classification", {}, "there are 'body', 'label'; name it: --text body"),
        ("body,title,label\na,b,x\n", "classification", {}, "name it: --text COLUMN"),
        ("text,label\na,x\n", "classification", {"text": "label"}, "the text and the label are one column, 'label'"),
        ("text,score\na,1_000\n", "regression", {}, "'score' is '1_000'; a finite number is needed"),
        ("body,label\na,x\n", "classification", {}, "no column 'text'; there are 'body', 'label'"),
        ("text,label\na,x\n", "classification", {"text": "body"}, "no column 'body'; there are 'text', 'label'"),
        ("text,label\na,x\n", "classification", {"group": "film"}, "no column 'film'"),
        ("text\na\n", "classification", {}, "no column 'label'; there is 'text'"),
        ("text,label\na,x\n  ,x\n", "classification", {}, "line 3: the text in 'text' is empty"),
        ("text,label\na,x\n,\n", "classification", {}, "line 3: no label in 'label'"),
        ("text,pair,label\na,,x\n", "classification", {}, "line 2: the text in 'pair' is empty"),
        ("text,label\na,x\nb,\n", "classification", {}, "line 3: no label in 'label'"),
        ("text,label\na,x\nb, \n", "classification", {}, "line 3: the label in 'label' is blank"),
        ("text,label\na,1\nb,nan\n", "regression", {}, "line 3: 'label' is 'nan'; a finite number"),
        ("text,label\na,1\nb,-inf\n", "regression", {}, "line 3: 'label' is '-inf'; a finite number"),
        ("text,label\na,1\nb,three\n", "regression", {}, "line 3: 'label' is 'three'; a finite number"),
        ("text,label\na,1\nb,\n", "regression", {}, "line 3: no label"),
        ('text,label\na,"[x"\n', "multi-label", {}, "line 2: 'label' begins like a JSON array"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, kind: Kind, columns: dict[str, str], message: str) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(InputError) as caught:
        examples(path, kind, **columns)
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ('{"text": 3, "label": "x"}', "classification", "line 2: 'text' is 3, not a text"),
        ('{"text": "a"}', "classification", "line 2: no column 'label'; there is 'text'"),
        ('{"text": "a", "label": null}', "classification", "line 2: no label"),
        ('{"text": "a", "label": ["x"]}', "classification", "line 2: 'label' holds several labels"),
        ('{"text": "a", "label": NaN}', "regression", "line 2: 'label' is 'nan'"),
        ('{"text": "a", "label": {"x": 1}}', "multi-label", "line 2: 'label' is {\"x\": 1}; a list of labels"),
    ],
)
def test_bad_json(tmp_path: Path, line: str, kind: Kind, message: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": "1"}\n' + line)
    with pytest.raises(InputError) as caught:
        examples(path, kind)
    assert message in str(caught.value)
