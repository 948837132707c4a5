"""Data sets by name and by kind, in folders and in files of one's own."""

import json
from pathlib import Path

import pytest

from bertref.data.tasks.catalogue import ALIASES, CATALOGUE, KINDS, data_set_info
from bertref.data.tasks.opening import ReadingOptions, open_data_set
from bertref.data.tasks.tables import TableFormat
from bertref.data.tasks.text_tables import Columns
from bertref.errors import InputError

from .files import lines, read, write

SQUAD = json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "a b", "qas": [
    {"id": "1", "question": "b?", "answers": [{"text": "b", "answer_start": 2}]}]}]}]})  # fmt: skip
SWAG = "sent1,sent2,ending0,ending1,label\na,b,c,d,0\n"
NAMES = "imdb cola sst-2 mrpc sts-b qqp mnli qnli rte wnli ax xnli squad squad2 swag conll".split()


def test_the_catalogue() -> None:
    assert sorted(CATALOGUE) == sorted([*NAMES, *KINDS])
    assert all(info.kind == name for name, info in CATALOGUE.items() if name in KINDS)
    assert data_set_info("SQuAD").max_length == 384
    assert data_set_info("imdb").learning_rate == 2e-5
    assert data_set_info("mnli").labels == data_set_info("ax").labels == data_set_info("xnli").labels
    with pytest.raises(InputError, match=r"no data set or task 'mnlj' \(is it 'mnli'\?\); there are classification, "):
        data_set_info("mnlj")


def test_names_that_others_use() -> None:
    for name in (*CATALOGUE, *ALIASES):
        for spelled in (name, name.upper(), name.replace("-", "_")):
            assert data_set_info(spelled) is CATALOGUE[ALIASES.get(name, name)]
    assert [data_set_info(name).name for name in ("sst2", "SQuAD_v2", "stsb", "conll2003", "multiple_choice")] == [
        "sst-2", "squad2", "sts-b", "conll", "multiple-choice"
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"no data set or task 'squad_v3'"):
        data_set_info("squad_v3")


@pytest.mark.parametrize(
    ("name", "files", "sizes"),
    [
        ("classification", {"train.csv": "text,label\na,x\n", "val.tsv": "text\tlabel\na\tx"}, {"train": 1, "dev": 1}),
        ("classification", {"test/x/1.txt": "a", "test/y/1.txt": "b"}, {"test": 2}),
        ("classification", {"train.csv.gz": "text,label\na,x\n", "x/1.txt": "a"}, {"train": 1}),
        ("regression", {"train.jsonl": '{"text": "a", "score": 1}', "test.jsonl": '{"text": "a"}'},
         {"train": 1, "test": 1}),
        ("multi-label", {"dev.csv": "text,labels\na,\n"}, {"dev": 1}),
        ("imdb", {"train/pos/0_9.txt": "a", "train/neg/0_1.txt": "b"}, {"train": 2}),
        ("rte", {"RTE/test.tsv": lines(["index", "sentence1", "sentence2"], ["0", "a", "b"])}, {"test": 1}),
        ("squad", {"train-v1.1.json": SQUAD, "dev-v1.1.json.gz": SQUAD, "dev-v2.0.json": ""}, {"train": 1, "dev": 1}),
        ("squad2", {"dev-v2.0.json": SQUAD}, {"dev": 1}),
        ("question-answering", {"train-mine.json": SQUAD}, {"train": 1}),
        ("swag", {"train.csv": SWAG, "val.csv": SWAG}, {"train": 1, "dev": 1}),
        ("multiple-choice", {"test.jsonl": '{"context": "a", "choices": ["b", "c"]}'}, {"test": 1}),
        ("conll", {"eng.train": "a O\n", "eng.testa": "a O\n\nb O\n"}, {"train": 1, "dev": 2}),
        ("token-classification", {"train.conll": "a\tO\n", "test.txt": "a\n"}, {"train": 1, "test": 1}),
    ],
)  # fmt: skip
def test_folders(tmp_path: Path, name: str, files: dict[str, str], sizes: dict[str, int]) -> None:
    for file, content in files.items():
        write(tmp_path / file, content)
    opened = open_data_set(name, tmp_path)
    assert {part: len(read(opened.parts[part])) for part in opened.parts} == sizes
    assert list(opened.parts) == [part.name for part in opened.parts.values()]
    assert (opened.kind, opened.labels) == (CATALOGUE[name].kind, CATALOGUE[name].labels)


def test_files(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.csv", "a;x\nb;y\n")
    test = write(tmp_path / "more.csv", "c;z\n")
    reading = ReadingOptions(Columns("1", label="2"), TableFormat(";", header=False))
    opened = open_data_set("classification", mine, test=test, reading=reading)
    assert {name: [e.label for e in read(part)] for name, part in opened.parts.items()} == {
        "train": ["x", "y"],
        "test": ["z"],
    }
    assert list(open_data_set("squad", dev=write(tmp_path / "a.json", SQUAD)).parts) == ["dev"]


def test_a_file_replaces_the_folders(tmp_path: Path) -> None:
    for name, label in (("train.csv", "x"), ("dev.csv", "y"), ("other.csv", "z")):
        write(tmp_path / name, f"text,label\na,{label}\n")
    opened = open_data_set("classification", tmp_path, dev=tmp_path / "other.csv")
    assert [read(opened.parts[name])[0].label for name in ("train", "dev")] == ["x", "z"]


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data given for squad"):
        open_data_set("squad")
    with pytest.raises(InputError, match=r"none\.csv: no such file or folder"):
        open_data_set("classification", tmp_path / "none.csv")
    with pytest.raises(InputError, match="none of the files that are looked for is in it: train-v1"):
        open_data_set("squad", tmp_path)
    with pytest.raises(InputError, match=r"a\.csv: not a folder"):
        open_data_set("imdb", write(tmp_path / "a.csv", "text,label\na,pos\n"))
    for name in ("train-1.json", "train-2.json"):
        write(tmp_path / name, SQUAD)
    with pytest.raises(InputError, match=r"both train-1\.json and train-2\.json are there; name the file to read"):
        open_data_set("question-answering", tmp_path)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    path = write(tmp_path / "a.json", SQUAD.replace('"answer_start": 2', '"answer_start": 0'))
    read(open_data_set("squad", path, reading=ReadingOptions(notes=said.append)).parts["train"])
    assert said == [
        f"{path}: 1 of 1 answers are not at their answer_start; the nearest place with the same text was taken"
    ]
    path = write(tmp_path / "b.json", SQUAD.replace('"text": "b"', '"text": "c"'))
    opened = open_data_set("squad", path, dev=path)
    assert {name: len(read(part)) for name, part in opened.parts.items()} == {"train": 0, "dev": 1}
